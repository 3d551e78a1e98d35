"""What Faust keeps of a chunk: its last offset until the next commit, and nothing after it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from faust.transport.drivers import aiokafka as driver
from faust.types.tuples import TP

from stream import chunks as chunks_module
from stream.chunks import ChunkConsumer, _NoReadOffsets, _PromptConsumerThread
from stream.fetches import Epochs, Fetch, Fetched
from tests.doubles.stream_room import FakeRecord

PARTITION = TP("t", 0)


def consumer() -> ChunkConsumer:
    """One that never connects: the books alone."""
    made = object.__new__(ChunkConsumer)
    made._gap, made._acked, made._acked_index = defaultdict(list), defaultdict(list), defaultdict(set)
    made.epochs = Epochs()
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


class Thread:
    """The consumer's thread: says whether a position was moved in it."""

    def __init__(self, made: ChunkConsumer) -> None:
        self.inside = False
        self.consumer, self.epochs = made, list[int]()
        self.sought: list[tuple[TP, int, bool]] = []

    async def call_thread(self, work: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        self.inside = True
        answer = await work(*arguments)
        self.inside = False
        self.epochs.append(self.consumer.epochs.of(PARTITION))
        return answer

    def _ensure_consumer(self) -> Thread:
        return self

    def seek(self, partition: TP, offset: int) -> None:
        self.sought.append((partition, offset, self.inside))

    async def position(self, partition: TP) -> int:
        assert self.inside
        return self.sought[-1][1]


async def test_a_seek_happens_in_the_consumers_thread() -> None:
    made = consumer()
    made._thread = thread = Thread(made)  # type: ignore[assignment]
    for offset in (5, 1, 0):
        await made.seek(PARTITION, offset)
        assert thread.sought[-1] == (PARTITION, offset, True)
    assert thread.epochs == [1, 2, 3], "counted in the thread, before it does anything else"


async def test_the_place_of_a_partition_is_asked_for_in_the_consumers_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    made = consumer()
    made._thread = Thread(made)  # type: ignore[assignment]
    await made.seek(PARTITION, 7)
    monkeypatch.setattr(chunks_module, "empty_stretch", lambda *_: range(3, 5))
    assert await made.place(PARTITION) == (range(3, 5), 7)


def test_faust_takes_nothing_for_a_repetition(monkeypatch: pytest.MonkeyPatch) -> None:
    """It writes the offset of a chunk after its delivery, and would drop what was sought meanwhile."""
    monkeypatch.setattr(driver.Consumer, "__init__", lambda *_: None)  # Faust's starts a thread
    read = ChunkConsumer()._read_offset
    assert type(read) is _NoReadOffsets
    read[PARTITION] = 100
    read.update({PARTITION: 100})
    read.pop(PARTITION, None)
    assert (read[PARTITION], len(read), list(read)) == (None, 0, [])


async def test_a_revocation_is_noted_before_faust_hears_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made = consumer()
    seen: list[int] = []

    async def look(_self: object, _revoked: set[TP]) -> None:
        seen.append(made.epochs.owned_since(PARTITION))

    monkeypatch.setattr(driver.Consumer, "on_partitions_revoked", look)
    made.epochs.sought(PARTITION)
    await made.on_partitions_revoked({PARTITION})
    assert (seen, made.epochs.owned_since(TP("t", 1))) == ([2], 0)


async def test_a_chunk_carries_what_held_at_the_moment_its_fetch_came_back(monkeypatch: pytest.MonkeyPatch) -> None:
    made, thread = consumer(), object.__new__(_PromptConsumerThread)
    made._thread, thread.consumer = thread, made
    fetched = Fetched([FakeRecord(7, None)])
    fetched.fetch = Fetch(0, begun_at=3)

    async def sought_meanwhile(*_: object, **__: object) -> dict[TP, Fetched]:
        made.epochs.sought(PARTITION)
        return {PARTITION: fetched}

    async def through_the_thread(_self: object, *_: object) -> object:
        records = await thread._fetch_records()
        made.epochs.sought(PARTITION)  # a seek after the fetch: what it brought is older
        return records

    monkeypatch.setattr(driver.AIOKafkaConsumerThread, "_fetch_records", sought_meanwhile)
    monkeypatch.setattr(driver.Consumer, "_getmany", through_the_thread)
    monkeypatch.setattr(ChunkConsumer, "_backlog", lambda *_: 0)
    (chunk,) = (await made._getmany(None, 1.0))[PARTITION]
    assert (chunk.fetch, made.epochs.of(PARTITION)) == (Fetch(epoch=1, begun_at=3), 2)
