"""The partitions that a worker owns, and what they share: the store, the side outputs, a bound on queued chunks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import NoReturn

from recsys.kafka.records import Chunk
from recsys.keys import Partition, Topology
from recsys.settings import Settings
from stream.engagement.commit import Applied, PartitionStore, ShardWriter, WriterRules
from stream.engagement.fold import FoldRules
from stream.engagement.metrics import PartitionMetrics
from stream.engagement.outputs import SideOutputs
from stream.engagement.partition import Delivery, OwnedPartition, ReadableLog
from stream.engagement.quietly import quietly
from stream.engagement.record_semaphore import RecordSemaphore
from stream.engagement.shutdown import RELEASE_S, within

QUEUED_FETCHES = 10
"""So many times the records of one fetch may be queued or in work; more wait in Faust, which then fetches no more.

Records are counted, not chunks: a chunk that waits for the commit of the one before joins it, so many small ones are
no more work than one, and a bound on chunks would stop every partition for a few records.
"""


class OwnedPartitions:
    """Makes an `OwnedPartition` when it is first asked for, and drops them all when partitions change hands.

    Args:
        settings: All settings.
        topology: The shards they write.
        store: The online store.
        outputs: Dead letters and rerouted records.
        log_of: A partition's log.
        applied: Told of each chunk that was applied.
        give_up: Ends the process.
        clock: Seconds, monotonic.
        now_ms: Wall clock, ms since 1970 UTC.
        release_s: How long giving partitions up may take: no more than a silent Redis is worth.
    """

    def __init__(
        self,
        settings: Settings,
        topology: Topology,
        *,
        store: PartitionStore,
        outputs: SideOutputs,
        log_of: Callable[[Partition], ReadableLog],
        applied: Callable[[Chunk, Applied], None],
        give_up: Callable[[Exception], Awaitable[NoReturn]],
        clock: Callable[[], float],
        now_ms: Callable[[], int],
        release_s: float = RELEASE_S,
    ) -> None:
        self._group, self._store, self._outputs, self._log_of = settings.consumer_group, store, outputs, log_of
        self._applied, self._give_up = applied, give_up
        self._clock, self._now_ms, self._release_s = clock, now_ms, release_s
        self._rules = WriterRules(
            FoldRules.of(settings, topology),
            retry_s=settings.retry_seconds,
            stop_records=settings.dead_letter_stop_records,
            stop_share=settings.dead_letter_stop_share,
        )
        self._most_records = settings.worker_max_poll_records
        self._queued = RecordSemaphore(QUEUED_FETCHES * settings.worker_max_poll_records)
        self._owned: dict[Partition, OwnedPartition] = {}

    def of(self, number: Partition) -> OwnedPartition:
        """The partition; a new object if the last was dropped."""
        if number not in self._owned:
            self._owned[number] = self._make(number)
        return self._owned[number]

    def _make(self, number: Partition) -> OwnedPartition:
        log = self._log_of(number)
        writer = ShardWriter(
            number,
            self._group,
            store=self._store,
            outputs=self._outputs,
            rules=self._rules,
            kafka=log,
            metrics=PartitionMetrics(number),
            clock=self._clock,
            now_ms=self._now_ms,
        )
        return OwnedPartition(
            number,
            log=log,
            writer=writer,
            applied=self._applied,
            give_up=self._give_up,
            done=self._queued.release,
            most_records=self._most_records,
        )

    async def put(self, delivery: Delivery) -> None:
        """Queues a chunk; waits while records of `QUEUED_FETCHES` fetches are queued or in work."""
        await self._queued.acquire(len(delivery.value.records))
        self.of(delivery.value.partition).enqueue(delivery)

    async def drop(self) -> None:
        """All partitions go to other workers in order, or come back: a start after this is no sign of a crash."""
        dropped, self._owned = self._owned, {}
        await self._end(dropped.values())

    async def end(self) -> None:
        """The worker ends in order. The objects stay, so that chunks that still come are left alone by them."""
        await self._end(self._owned.values())

    async def drain(self) -> None:
        """Applies what is queued."""
        await asyncio.gather(*(partition.drain() for partition in self._owned.values()))

    def cancel_idle_checks(self) -> None:
        """Gives up the idle checks that are in work."""
        for partition in self._owned.values():
            partition.cancel_idle_check()

    async def _end(self, partitions: Iterable[OwnedPartition]) -> None:
        await within(self._release_s, asyncio.gather(*(quietly(partition.end) for partition in partitions)))
