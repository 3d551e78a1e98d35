"""Plain values of what is read from Kafka, whatever client brought it. Imports no client."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from recsys.keys import Partition

MAX_PRODUCED_BYTES = 1_000_000
"""What a broker takes by default, less the frame. A record can be larger than that only because it came compressed."""


class Record(Protocol):
    """The fields of a Kafka record that are read."""

    @property
    def offset(self) -> int:
        """Position in the partition's log."""
        ...

    @property
    def timestamp(self) -> int:
        """When the broker appended it, ms since 1970 UTC."""
        ...

    @property
    def key(self) -> bytes | None:
        """The record key."""
        ...

    @property
    def value(self) -> bytes | None:
        """The record value; None for a tombstone."""
        ...

    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]:
        """Names and values, in order; a name may repeat."""
        ...


class Fetch(NamedTuple):
    """The fetch that brought a chunk.

    Attributes:
        epoch: Counts the partition's seeks and revocations; a chunk of an earlier one was fetched before the last.
        begun_at: The offset that it, or fetches without records that it goes on from, read from: the log holds no
            record between it and the chunk's first.
    """

    epoch: int
    begun_at: int


class Chunk(NamedTuple):
    """Consecutive records of one partition, as fetched.

    Attributes:
        partition: Their partition.
        records: In offset order, at least one.
        fetch: What is known of the fetch that brought them.
        backlog: Offsets behind this chunk that could be read at the fetch.
    """

    partition: Partition
    records: Sequence[Record]
    fetch: Fetch
    backlog: int

    def __repr__(self) -> str:
        """Never what the records hold: Faust logs what it crashed on."""
        first, last = self.records[0].offset, self.records[-1].offset
        return f"<Chunk: partition {self.partition}, offsets {first} to {last}, {self.fetch}>"


def joined(first: Chunk, second: Chunk, *, most: int) -> Chunk | None:
    """Two chunks as one, so that both take one commit; None unless the second goes on right where the first ends.

    Args:
        first: Of some partition.
        second: Of the same partition, fetched later.
        most: Records that the two may have together.
    """
    last = first.records[-1].offset
    if second.fetch.epoch != first.fetch.epoch or len(first.records) + len(second.records) > most:
        return None
    if not (second.records[0].offset > last and second.fetch.begun_at <= last + 1):
        return None
    return Chunk(first.partition, [*first.records, *second.records], first.fetch, second.backlog)


READ_COMMITTED = "read_committed"
"""An event of an aborted transaction never happened, and one of an open transaction has not happened yet."""


def headers_bytes(headers: Iterable[tuple[str, bytes | None]]) -> int:
    """About what headers take of a record, in bytes."""
    return sum(len(name.encode()) + len(value or b"") + 10 for name, value in headers)
