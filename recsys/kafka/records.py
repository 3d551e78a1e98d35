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


def goes_on(last: Chunk, following: Chunk) -> bool:
    """Whether a chunk begins right where one of the same partition ends, so that the two can be one.

    Args:
        last: Of some partition.
        following: Of the same partition, fetched later.
    """
    end = last.records[-1].offset
    if following.fetch.epoch != last.fetch.epoch:
        return False
    return following.records[0].offset > end and following.fetch.begun_at <= end + 1


def joined(chunks: Sequence[Chunk]) -> Chunk:
    """Chunks each of which goes on where the one before ends, as one, so that all take one commit.

    Args:
        chunks: Of one partition, at least one.
    """
    first, last = chunks[0], chunks[-1]
    if first is last:
        return first
    records = [record for chunk in chunks for record in chunk.records]
    return Chunk(first.partition, records, first.fetch, last.backlog)


READ_COMMITTED = "read_committed"
"""An event of an aborted transaction never happened, and one of an open transaction has not happened yet."""


def headers_bytes(headers: Iterable[tuple[str, bytes | None]]) -> int:
    """About what headers take of a record, in bytes."""
    return sum(len(name.encode()) + len(value or b"") + 10 for name, value in headers)
