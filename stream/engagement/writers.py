"""The writers of the partitions a worker owns, and what they write to beside the store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from recsys.kafka.clients import aiokafka_options
from recsys.keys import Partition, Topology
from recsys.settings import Settings
from stream.engagement.commit import PartitionStore, ShardWriter, WriterRules
from stream.engagement.fold import FoldRules
from stream.engagement.gaps import PartitionLog
from stream.engagement.shutdown import RELEASE_S, within
from stream.engagement.side_outputs import KafkaSideOutputs
from stream.engagement.upkeep import quietly


class Writers:
    """One a partition, made when it is first asked for.

    Args:
        settings: All settings.
        topology: The shards they write.
        store: The online store.
        log_of: A partition's log.
        clock: Seconds, monotonic.
        now_ms: Wall clock, ms since 1970 UTC.
    """

    def __init__(
        self,
        settings: Settings,
        topology: Topology,
        *,
        store: PartitionStore,
        log_of: Callable[[Partition], PartitionLog],
        clock: Callable[[], float],
        now_ms: Callable[[], int],
    ) -> None:
        self._group, self._store, self._log_of = settings.consumer_group, store, log_of
        self._clock, self._now_ms = clock, now_ms
        self._rules = WriterRules(
            FoldRules.of(settings, topology),
            retry_s=settings.retry_seconds,
            stop_records=settings.dead_letter_stop_records,
            stop_share=settings.dead_letter_stop_share,
        )
        self._outputs = KafkaSideOutputs(
            aiokafka_options(settings),
            dead_letter_topic=settings.dead_letter_topic,
            interactions_topic=settings.interactions_topic,
        )
        self._writers: dict[Partition, ShardWriter] = {}

    def of(self, partition: Partition) -> ShardWriter:
        """The partition's writer; a new one if the last was let go of."""
        if partition not in self._writers:
            self._writers[partition] = ShardWriter(
                partition,
                self._group,
                store=self._store,
                outputs=self._outputs,
                rules=self._rules,
                kafka=self._log_of(partition),
                clock=self._clock,
                now_ms=self._now_ms,
            )
        return self._writers[partition]

    async def let_go(self) -> None:
        """All partitions go to other workers in order, or come back: a start after this is no sign of a crash."""
        writers, self._writers = self._writers, {}
        await _end(writers.values())

    async def end(self) -> None:
        """The worker ends in order. Those that are here stay, so that what still comes is left alone by them."""
        await _end(self._writers.values())

    async def close(self) -> None:
        """Ends the producer of dead letters and rerouted records."""
        await self._outputs.close()


async def _end(writers: Iterable[ShardWriter]) -> None:
    await within(RELEASE_S, asyncio.gather(*(quietly(writer.end) for writer in writers)))
