"""Blocks: micro-batches whose bounds are offsets, so that a replay cuts the topic in the same places. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from recsys.kafka.records import Record


class LogRecord(NamedTuple):
    """A Kafka record, as it is passed to the training process (`recsys.kafka.records.Record`)."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


class BlockId(NamedTuple):
    """A block by its place in the topic.

    Attributes:
        partition: Of the topic.
        start: Its first offset, a multiple of the block size.
        stop: The offset after its last.
    """

    partition: int
    start: int
    stop: int


class Block(NamedTuple):
    """The records of a partition between two offsets.

    Attributes:
        place: Where.
        records: In offset order, at least one.
    """

    place: BlockId
    records: tuple[LogRecord, ...]


class Blocks:
    """Cuts the records of partitions into blocks. A block is whole once a record behind it was seen.

    Args:
        size: Offsets in a block.
        positions: Partition → the offset that is wanted next.
    """

    def __init__(self, size: int, positions: Mapping[int, int]) -> None:
        self._size, self._positions = size, dict(positions)
        self._open: dict[int, list[LogRecord]] = {}

    def position(self, partition: int) -> int:
        """The offset of the next record that is wanted."""
        return self._positions.get(partition, 0)

    def move(self, partition: int, position: int) -> None:
        """Moves the position forward: what lies before it is no more, and never moves it back."""
        self._positions[partition] = max(position, self.position(partition))

    def add(self, partition: int, records: Iterable[Record]) -> list[Block]:
        """Adds records in offset order; those before the position were added before and are passed over.

        Returns:
            The blocks that became whole.
        """
        whole, held = [], self._open.setdefault(partition, [])
        position = self.position(partition)
        for record in records:
            if record.offset < position:
                continue
            if held and record.offset // self._size != held[0].offset // self._size:
                whole.append(self._block(partition, held))
                held = self._open[partition] = []
            value = None if record.value is None else bytes(record.value)
            key = None if record.key is None else bytes(record.key)
            held.append(LogRecord(record.offset, record.timestamp, key, value, tuple(record.headers)))
            position = record.offset + 1
        self._positions[partition] = position
        return whole

    def _block(self, partition: int, records: Sequence[LogRecord]) -> Block:
        start = records[0].offset // self._size * self._size
        return Block(BlockId(partition, start, start + self._size), tuple(records))


class Ready:
    """Whole blocks waiting to be learned: first those that were begun before a restart, in the order of then.

    Args:
        repeated: The order of blocks learned after the checkpoint and before the restart.
    """

    def __init__(self, repeated: Iterable[BlockId] = ()) -> None:
        self._repeated = deque(repeated)
        self._waiting: dict[int, deque[Block]] = {}
        self._order: deque[int] = deque()

    def __len__(self) -> int:
        return len(self._order)

    def add(self, blocks: Iterable[Block]) -> None:
        """Adds whole blocks, each partition's in its order."""
        for block in blocks:
            self._waiting.setdefault(block.place.partition, deque()).append(block)
            self._order.append(block.place.partition)

    def take(self) -> Block | None:
        """The next block to learn; None while it is not there."""
        while self._repeated:
            wanted = self._repeated[0]
            waiting = self._waiting.get(wanted.partition)
            if not waiting:
                return None
            self._repeated.popleft()
            if waiting[0].place == wanted:
                return self._taken(wanted.partition)
            # Else retention deleted it: what is left of its partition lies behind it.
        return self._taken(self._order[0]) if self._order else None

    def _taken(self, partition: int) -> Block:
        self._order.remove(partition)
        return self._waiting[partition].popleft()
