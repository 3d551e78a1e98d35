"""Transport: one Faust event per fetched partition chunk instead of one per record.

Faust's consumer awaits twice for every record, which caps a process at 6–9 k records/s whatever the agent does. Here
`_getmany` passes each partition's fetched records on as one message, whose value is the records and whose offset is the
last one. This module never looks inside a record.

What it overrides are internals of faust-streaming 0.15.3 that have no setting; the reason stands beside each, and
`tests/unit/stream/transport/test_upstream*.py` pin them. An upgrade that moves one fails there first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, TypeVar, cast

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaConnectionError, LeaderNotAvailableError
from faust.transport.drivers import aiokafka as driver
from faust.types.tuples import TP, ConsumerMessage

from recsys.kafka.records import READ_COMMITTED, Chunk, Record
from recsys.keys import Partition
from stream.transport.app_loop import ConsumerInAppLoop
from stream.transport.fetches import Epochs, Fetched, skipped_offsets

T = TypeVar("T")

NO_LEADER = -1


FETCH_WAIT_MS = 100
"""How long the broker may hold an empty fetch.

A partition whose records were just delivered is not part of the fetch in flight, so its next record waits for that
fetch to end: up to 1.5 s with what Faust asks for.
"""


class _PromptConsumer(ConsumerInAppLoop):
    """Short fetches of committed records."""

    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # Faust passes numbers of its own for both and has no settings for them. aiokafka reads the two attributes when
        # the consumer starts, which is after this.
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS  # noqa: SLF001
        consumer._isolation_level = READ_COMMITTED  # noqa: SLF001
        return consumer

    async def _fetch_records(self, *args: Any, **kwargs: Any) -> Any:
        """Stamps the epochs before anything else can move a position, so they are exact however long the fetch took."""
        fetched = await super()._fetch_records(*args, **kwargs)
        cast("ChunkConsumer", self.consumer).epochs.stamp(fetched)
        return fetched


class _NoReadOffsets(MutableMapping[TP, int | None]):
    """Stands for Faust's memory of the offsets it delivered, and remembers nothing.

    Faust drops a message whose offset is not above the one it remembers. It writes that offset after it has delivered
    a chunk, and so undoes a seek made meanwhile: what was sought would be dropped silently (robinhood/faust#115 is of
    this kind). Here the fence decides what was applied before. It can go once Faust forgets the offset at a seek.
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

    def _new_consumer_thread(self) -> _PromptConsumer:
        return _PromptConsumer(self, loop=self.loop, beacon=self.beacon)

    async def seek(self, partition: TP, offset: int) -> None:
        """Moves the position; chunks fetched from now on carry the next epoch."""
        self._thread._ensure_consumer().seek(partition, offset)  # noqa: SLF001 - as Faust's own calls
        self.epochs.sought(partition)

    async def read_position(self, partition: TP) -> tuple[range, int | None]:
        """The last skipped offsets (read over, no record in them), and the offset that is read next.

        Raises:
            LeaderNotAvailableError: No broker leads the partition.
        """

        async def read_position(consumer: AIOKafkaConsumer) -> tuple[range, int | None]:
            _require_leader(consumer, partition)
            return skipped_offsets(consumer, partition), await consumer.position(partition)

        return await self._call(read_position)

    async def bounds(self, partition: TP) -> tuple[int, int]:
        """The log's first offset and the offset after the last that can be read.

        Raises:
            LeaderNotAvailableError: No broker leads the partition.
        """

        async def bounds(consumer: AIOKafkaConsumer) -> tuple[int, int]:
            _require_leader(consumer, partition)
            starts = await consumer.beginning_offsets([partition])
            ends = await consumer.end_offsets([partition])
            return starts[partition], ends[partition]

        return await self._call(bounds)

    async def _call(self, work: Callable[[AIOKafkaConsumer], Coroutine[Any, Any, T]]) -> T:
        """A call of aiokafka's consumer.

        It does not go through Faust's queue of calls (`call_thread`). That queue takes two at a time, for as long as
        Kafka needs to answer, and the commits of every partition wait in it too.

        Raises:
            KafkaConnectionError: The consumer is ending.
        """
        try:
            return await work(self._thread._ensure_consumer())  # noqa: SLF001 - as Faust's own calls
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if caller is None or caller.cancelling():
                raise
            # The caller was not cancelled: aiokafka cancels what waits for an answer as it ends.
            raise KafkaConnectionError("the consumer is ending") from None

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Begins a new epoch: what was fetched so far is read again by the next owner, this worker or another."""
        self.epochs.revoked(revoked)
        await super().on_partitions_revoked(revoked)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Does nothing. To Faust the inside of a chunk is an offset gap, and it keeps every gap for ever."""

    def _new_offset(self, tp: TP) -> int | None:
        """The offset after the last acknowledged chunk.

        Chunks of a partition are acknowledged in order, so no chunk before it is still in work. Faust's own rule waits
        for consecutive offsets, which chunks do not have (faust-streaming/faust#606).
        """
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
        consumer = self._thread._ensure_consumer()  # noqa: SLF001 - see `_call`
        readable = consumer.last_stable_offset(tp)  # what follows an open transaction cannot be read yet
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
            value=cast("bytes", chunk),  # the raw codec passes it on untouched
            checksum=None,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )


def _require_leader(consumer: AIOKafkaConsumer, partition: TP) -> None:
    """Raises `LeaderNotAvailableError` if no broker leads the partition; aiokafka would wait for one without limit."""
    client = consumer._client  # noqa: SLF001 - no public way
    if client.cluster.leader_for_partition(partition) == NO_LEADER:
        client.force_metadata_update()
        raise LeaderNotAvailableError(partition)


class ChunkTransport(driver.Transport):
    """The transport to set as `app.transport` before the app starts."""

    Consumer = ChunkConsumer
