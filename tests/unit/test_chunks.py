"""What Faust keeps of a chunk: its last offset until the next commit, and nothing after it."""

from __future__ import annotations

from collections import defaultdict

from faust.types.tuples import TP

from stream.chunks import ChunkConsumer

PARTITION = TP("t", 0)


def consumer() -> ChunkConsumer:
    """One that never connects: the books alone."""
    made = object.__new__(ChunkConsumer)
    made._gap, made._acked, made._acked_index = defaultdict(list), defaultdict(list), defaultdict(set)
    return made


async def test_acknowledged_chunks_leave_nothing_behind_a_commit() -> None:
    books = consumer()
    for last in range(99, 100_000, 100):
        await books._add_gap(PARTITION, last - 99, last)
        books._acked[PARTITION].append(last)
        books._acked_index[PARTITION].add(last)
        if last % 1000 == 999:
            assert books._new_offset(PARTITION) == last + 1
    assert (books._gap, books._acked[PARTITION], books._acked_index[PARTITION]) == ({}, [], set())


def test_nothing_acknowledged_is_nothing_to_commit() -> None:
    assert consumer()._new_offset(PARTITION) is None
