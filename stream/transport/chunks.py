"""Transport: one Faust event per fetched partition chunk instead of one per record.

Faust's consumer awaits twice for every record, which caps a process at 6–9 k records/s whatever the agent does. Here
`_getmany` hands each partition's fetched records on as one message, whose value is the records and whose offset is
the last one. This module never looks inside a record.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, TypeVar, cast

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaConnectionError, LeaderNotAvailableError
from faust.transport.drivers import aiokafka as driver
from faust.types.tuples import TP, ConsumerMessage

from recsys.kafka.records import READ_COMMITTED, Chunk, Record
from recsys.keys import Partition
from stream.transport.fetches import Epochs, Fetched, empty_stretch

T = TypeVar("T")

NO_LEADER = -1


FETCH_WAIT_MS = 100
"""How long the broker may hold an empty fetch.

A partition whose records were just handed over is not part of the fetch under way, so its next record waits for that
fetch to end: up to 1.5 s with what Faust asks for.
"""


class _PromptConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's consumer thread with short fetches of committed records."""

    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # Faust passes values of its own for both, and has no settings.
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS  # noqa: SLF001
        consumer._isolation_level = READ_COMMITTED  # noqa: SLF001
        return consumer

    async def _fetch_records(self, *args: Any, **kwargs: Any) -> Any:
        """Notes the epochs in the thread that also moves positions: they are exact, however long the fetch took."""
        fetched = await super()._fetch_records(*args, **kwargs)
        cast("ChunkConsumer", self.consumer).epochs.stamp(fetched)
        return fetched


class _NoReadOffsets(MutableMapping[TP, int | None]):
    """What Faust remembers of the offsets it delivered, to drop what it takes for a repetition: nothing.

    It writes an offset after it has delivered a chunk, and so undoes a seek made meanwhile: what was sought would be
    dropped without a word. What is a repetition the fence decides.
    """

    def __getitem__(self, tp: TP) -> None:
        return None

    def __setitem__(self, tp: TP, offset: int | None) -> None:
        pass

    def __delitem__(self, tp: TP) -> None:
        pass

    def __iter__(self) -> Iterator[TP]:
        return iter(())

    def __len__(self) -> int:
        return 0


class ChunkConsumer(driver.Consumer):
    """Faust's aiokafka consumer, a chunk at a time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.epochs = Epochs()
        self._read_offset = _NoReadOffsets()

    def _new_consumer_thread(self) -> _PromptConsumerThread:
        return _PromptConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def seek(self, partition: TP, offset: int) -> None:
        """Moves the position; chunks fetched from now on carry the next epoch.

        In the consumer's own thread: Faust's `seek` moves it from this one, and a fetch under way moves it back.
        """

        async def move(consumer: AIOKafkaConsumer) -> None:
            consumer.seek(partition, offset)
            self.epochs.sought(partition)

        await self._ask(move)

    async def place(self, partition: TP) -> tuple[range, int | None]:
        """The offsets looked at last that hold no record, and the offset that is read next.

        Raises:
            LeaderNotAvailableError: No broker leads the partition.
        """

        async def place(consumer: AIOKafkaConsumer) -> tuple[range, int | None]:
            _expect_leader(consumer, partition)
            return empty_stretch(consumer, partition), await consumer.position(partition)

        return await self._ask(place)

    async def bounds(self, partition: TP) -> tuple[int, int]:
        """The log's first offset and the offset after the last that can be read.

        Raises:
            LeaderNotAvailableError: No broker leads the partition.
        """

        async def bounds(consumer: AIOKafkaConsumer) -> tuple[int, int]:
            _expect_leader(consumer, partition)
            starts = await consumer.beginning_offsets([partition])
            ends = await consumer.end_offsets([partition])
            return starts[partition], ends[partition]

        return await self._ask(bounds)

    async def _ask(self, question: Callable[[AIOKafkaConsumer], Coroutine[Any, Any, T]]) -> T:
        """What aiokafka's consumer answers in its own thread; a question given up here is given up there.

        Not through Faust's queue: it takes two calls at a time, for as long as Kafka needs to answer, and fetches and
        commits of every partition wait in it too.

        Raises:
            KafkaConnectionError: The thread ends.
        """
        consumer, given_up = self._thread._ensure_consumer(), threading.Event()  # noqa: SLF001 - as Faust's own calls

        async def ask() -> T:
            if given_up.is_set():  # before this thread got round to it
                raise asyncio.CancelledError
            return await question(consumer)

        answer = asyncio.run_coroutine_threadsafe(ask(), self._thread.thread_loop)
        try:
            return await asyncio.wrap_future(answer)
        except asyncio.CancelledError:
            given_up.set()
            asking = asyncio.current_task()
            if asking is None or asking.cancelling():
                raise
            raise KafkaConnectionError("the consumer's thread ends") from None  # who asks was not cancelled

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """What was fetched so far is its next owner's to read, this worker or another."""
        self.epochs.revoked(revoked)
        await super().on_partitions_revoked(revoked)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Notes nothing: to Faust the inside of a chunk is a gap, and what it notes of gaps piles up for ever."""

    def _new_offset(self, tp: TP) -> int | None:
        """The offset after the last acknowledged chunk; lanes acknowledge in order, so nothing lies open before it."""
        acked, self._acked[tp] = self._acked[tp], []
        self._acked_index[tp].clear()
        return max(acked) + 1 if acked else None

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Mapping[TP, list[Chunk]]:  # noqa: ASYNC109
        fetched = await super()._getmany(active_partitions, timeout)
        return {
            tp: [Chunk(Partition(tp.partition), records, records.fetch, self._backlog(tp, records))]
            for tp, records in cast("Mapping[TP, Fetched]", fetched).items()
        }

    def _backlog(self, tp: TP, records: Sequence[Record]) -> int:
        consumer = self._thread._ensure_consumer()  # noqa: SLF001 - see `_ask`
        readable = consumer.last_stable_offset(tp)  # what lies behind an open transaction is not there yet
        return 0 if readable is None else max(0, readable - records[-1].offset - 1)

    def _to_message(self, tp: TP, chunk: Chunk) -> ConsumerMessage:
        last = chunk.records[-1]
        return ConsumerMessage(
            topic=tp.topic,
            partition=tp.partition,
            offset=last.offset,
            timestamp=last.timestamp / 1000,
            timestamp_type=0,
            headers=[],
            key=None,
            value=cast("bytes", chunk),  # the raw codec hands it on untouched
            checksum=None,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )


def _expect_leader(consumer: AIOKafkaConsumer, partition: TP) -> None:
    """Raises LeaderNotAvailableError if nobody leads the partition; a question would wait for a leader."""
    client = consumer._client  # noqa: SLF001 - no public way
    if client.cluster.leader_for_partition(partition) == NO_LEADER:
        client.force_metadata_update()
        raise LeaderNotAvailableError(partition)


class ChunkTransport(driver.Transport):
    """The transport to set as `app.transport` before the app starts."""

    Consumer = ChunkConsumer
