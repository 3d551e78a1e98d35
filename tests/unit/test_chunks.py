"""What Faust keeps of a chunk: its last offset until the next commit, and nothing after it."""

from __future__ import annotations

import types
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from faust.transport.drivers import aiokafka as driver
from faust.types.tuples import TP

from stream.chunks import ChunkConsumer, _PromptConsumerThread

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


class Thread:
    """The consumer's thread: says whether a position was moved in it."""

    def __init__(self) -> None:
        self.inside = False
        self.sought: list[tuple[TP, int, bool]] = []

    async def call_thread(self, work: Callable[..., Awaitable[None]], *arguments: Any) -> None:
        self.inside = True
        await work(*arguments)
        self.inside = False

    def _ensure_consumer(self) -> Thread:
        return self

    def seek(self, partition: TP, offset: int) -> None:
        self.sought.append((partition, offset, self.inside))


async def test_a_seek_happens_in_the_consumers_thread_and_the_record_sought_is_not_dropped() -> None:
    made, thread = consumer(), Thread()
    made._thread, made._read_offset, made._epochs = thread, {}, Counter()  # type: ignore[assignment]
    for offset, read in ((5, 4), (1, 0), (0, None)):
        await made.seek(PARTITION, offset)
        assert thread.sought[-1] == (PARTITION, offset, True)
        assert made._read_offset[PARTITION] == read  # Faust drops a chunk that does not end beyond it
    assert made.epoch(PARTITION) == 3


async def test_a_chunk_fetched_before_its_partition_was_revoked_is_of_an_earlier_epoch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def faust_forgets(_self: object, _revoked: set[TP]) -> None:
        pass

    monkeypatch.setattr(driver.Consumer, "on_partitions_revoked", faust_forgets)
    made = consumer()
    made._epochs, made._owned_since = Counter({PARTITION: 4}), {}
    await made.on_partitions_revoked({PARTITION})
    assert (made.epoch(PARTITION), made.owned_since(PARTITION)) == (5, 5)
    assert (made.epoch(TP("t", 1)), made.owned_since(TP("t", 1))) == (0, 0)


async def test_a_chunk_carries_the_epoch_of_the_moment_its_fetch_came_back(monkeypatch: pytest.MonkeyPatch) -> None:
    made, thread = consumer(), object.__new__(_PromptConsumerThread)
    made._epochs, made._thread, thread.consumer = Counter(), thread, made
    record = types.SimpleNamespace(offset=7)

    async def sought_meanwhile(*_: object, **__: object) -> dict[TP, list[types.SimpleNamespace]]:
        made._epochs[PARTITION] += 1
        return {PARTITION: [record]}

    async def through_the_thread(_self: object, *_: object) -> object:
        fetched = await thread._fetch_records()
        made._epochs[PARTITION] += 1  # a seek after the fetch: what it brought is older
        return fetched

    monkeypatch.setattr(driver.AIOKafkaConsumerThread, "_fetch_records", sought_meanwhile)
    monkeypatch.setattr(driver.Consumer, "_getmany", through_the_thread)
    monkeypatch.setattr(ChunkConsumer, "_backlog", lambda *_: 0)
    (chunk,) = (await made._getmany(None, 1.0))[PARTITION]
    assert (chunk.epoch, made.epoch(PARTITION)) == (1, 2)
