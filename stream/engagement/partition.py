"""OwnedPartition: all that a worker holds for one partition it owns.

Log, queue, writer, isolation state and metrics live and end together. When the partition is revoked the whole object is
dropped, and whoever owns the partition next, this worker or another, begins with a new one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NoReturn, Protocol

import structlog

from recsys.errors import ServiceUnavailable, UnreadableState
from recsys.kafka.records import Chunk, goes_on, joined
from recsys.keys import Partition
from stream.engagement import metrics
from stream.engagement.commit import Applied, ShardWriter
from stream.engagement.gaps import PartitionLog

log = structlog.get_logger(__name__)


class Delivery(Protocol):
    """A chunk as the transport delivers it: acknowledged at most once, and only by `ack`."""

    value: Chunk

    def ack(self) -> object:
        """Lets Kafka's committed offset pass the chunk."""
        ...


class ReadableLog(PartitionLog, Protocol):
    """A partition's log that also tells how much of it is still to be read."""

    async def unread(self) -> int:
        """Offsets between the consumer's position and the log's end."""
        ...


class OwnedPartition:
    """One owned partition: its chunks are applied strictly in order, by one task.

    Args:
        number: The partition.
        log: Its log.
        writer: Applies its chunks.
        applied: Told of each chunk that was applied, before the next.
        give_up: Ends the process; called for what `ShardWriter.apply` raises, which Faust must never see.
        done: Called when records have left the queue, with their number, whatever became of them.
        most_records: Chunks that wait one behind the other are applied as one, of so many records at most.
    """

    def __init__(
        self,
        number: Partition,
        *,
        log: ReadableLog,
        writer: ShardWriter,
        applied: Callable[[Chunk, Applied], None],
        give_up: Callable[[Exception], Awaitable[NoReturn]],
        done: Callable[[int], None],
        most_records: int,
    ) -> None:
        self.number = number
        self.unreachable = False
        """Whether Kafka or Redis did not answer about the partition at the last idle check."""

        self._log, self._writer = log, writer
        self._applied, self._give_up, self._done = applied, give_up, done
        self._queue: asyncio.Queue[Delivery | None] = asyncio.Queue()
        self._most_records = most_records
        self._ahead: list[Delivery | None] = []  # taken from the queue and not joined: at most one
        self._task: asyncio.Task[None] | None = None
        self._ended = False
        self._waiting = 0
        self._fence_when_lost: int | None = None
        self._idle_check: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Chunks that are queued or in work."""
        return self._waiting

    def enqueue(self, delivery: Delivery) -> None:
        """Queues a chunk after the partition's earlier ones; leaves it alone once the partition was given up."""
        if self._ended:
            self._done(len(delivery.value.records))
            return
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"partition-{self.number}")
        self._waiting += 1
        self._queue.put_nowait(delivery)

    async def progress(self) -> tuple[int | None, int | None]:
        """The fence, and how many offsets and chunks wait after it; None for the latter if Kafka does not answer.

        A partition that is stopped has nothing to do.

        Raises:
            ServiceUnavailable: Redis does not answer.
        """
        if self._writer.stopped():
            return None, 0
        try:
            fence = await self._writer.fence()
        except UnreadableState:  # the writer meets it too, and stops the partition
            return None, 0
        try:
            return fence, await self._log.unread() + self._waiting
        except ServiceUnavailable:
            return fence, None

    def start_idle_check(self) -> None:
        """Starts an idle check unless one is in work: one that waits for an answer delays no other partition's.

        Raises:
            RecsysError: What the last check raised, unless a service did not answer it.
        """
        if self._idle_check is not None and self._idle_check.done():
            finished, self._idle_check = self._idle_check, None
            finished.result()
        if self._idle_check is None:
            self._idle_check = asyncio.create_task(self._check_idle(), name=f"idle-check-{self.number}")

    def cancel_idle_check(self) -> None:
        """Gives up an idle check that is in work."""
        if self._idle_check is not None:
            self._idle_check.cancel()
            self._idle_check.add_done_callback(_retrieve)
            self._idle_check = None

    async def end(self) -> None:
        """Gives the partition up in order, after the step in work; what is queued is left alone by the writer.

        Raises:
            ServiceUnavailable: Redis does not answer; the successor enters isolation mode.
        """
        self._ended = True
        self._queue.put_nowait(None)
        try:
            await self._writer.end()
        finally:
            self.cancel_idle_check()

    async def drain(self) -> None:
        """Applies what is queued, then ends the task that applies it."""
        if self._task is not None:
            self._queue.put_nowait(None)
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        while (delivery := self._ahead.pop() if self._ahead else await self._queue.get()) is not None:
            deliveries, chunk = self._joined(delivery)
            try:
                await self._apply(deliveries, chunk)
            finally:
                self._waiting -= len(deliveries)
                self._done(len(chunk.records))

    def _joined(self, delivery: Delivery) -> tuple[list[Delivery], Chunk]:
        """A chunk and those that wait right behind it, as one: under load, a commit each would keep them waiting."""
        deliveries, last, records = [delivery], delivery.value, len(delivery.value.records)
        while not self._queue.empty():
            following = self._queue.get_nowait()
            more = 0 if following is None else len(following.value.records)
            if following is None or not goes_on(last, following.value) or records + more > self._most_records:
                self._ahead.append(following)
                break
            deliveries.append(following)
            last, records = following.value, records + more
        return deliveries, joined([each.value for each in deliveries])

    async def _apply(self, deliveries: Sequence[Delivery], chunk: Chunk) -> None:
        """Applies one chunk; it is acknowledged only once it moved the fence, or was applied before."""
        try:
            with metrics.CHUNK_SECONDS.time():
                applied = await self._writer.apply(chunk)
            if not applied.left_alone:
                for delivery in deliveries:
                    delivery.ack()
                self._applied(chunk, applied)
        except Exception as error:  # noqa: BLE001 - whatever it is, Faust must not see it, and nothing applies the next
            await self._give_up(error)

    async def _check_idle(self) -> None:
        try:
            if self._waiting:
                answered = self._writer.applied != self._fence_when_lost
            else:
                answered = await self._writer.check_idle()
        except ServiceUnavailable as error:
            if not self.unreachable:
                log.warning("partition_unreachable", partition=self.number, error=str(error))
                self.unreachable, self._fence_when_lost = True, self._writer.applied
            return
        if answered and self.unreachable:
            log.info("partition_reachable_again", partition=self.number)
            self.unreachable = False


def _retrieve(task: asyncio.Task[None]) -> None:
    """What an idle check of a partition that was given up raises concerns nobody."""
    if not task.cancelled():
        task.exception()
