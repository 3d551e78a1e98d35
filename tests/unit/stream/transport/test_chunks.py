"""What Faust keeps of a chunk: its last offset until the next commit, and nothing after it."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from aiokafka.errors import KafkaConnectionError, LeaderNotAvailableError
from faust.transport.drivers import aiokafka as driver
from faust.types.tuples import TP

from recsys.kafka.records import Fetch
from stream.transport import chunks as chunks_module
from stream.transport.chunks import ChunkConsumer, _NoReadOffsets, _PromptConsumerThread
from stream.transport.fetches import Epochs, Fetched
from tests.doubles.stream import FakeRecord

PARTITION = TP("t", 0)
SILENT = 7


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
    """Faust's consumer thread and aiokafka's consumer in one: an event loop that runs in another thread.

    A partition that has no leader is known to be so; one with `SILENT` for a leader answers nothing.
    """

    def __init__(self, made: ChunkConsumer) -> None:
        self.consumer = made
        self.thread_loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.thread_loop.run_forever, daemon=True)
        self._thread.start()
        self.sought: list[tuple[TP, int]] = []
        self.next_saw: list[int] = []
        self.leaders: dict[TP, int] = {}
        self.asked = self.given_up = 0
        self.refreshed = 0
        self._client = SimpleNamespace(
            cluster=SimpleNamespace(leader_for_partition=self.leaders.get), force_metadata_update=self.refresh
        )

    def refresh(self) -> None:
        assert threading.current_thread() is self._thread
        self.refreshed += 1

    def end(self) -> None:
        self.thread_loop.call_soon_threadsafe(self.thread_loop.stop)
        self._thread.join()
        self.thread_loop.close()

    def _ensure_consumer(self) -> Thread:
        return self

    def seek(self, partition: TP, offset: int) -> None:
        assert threading.current_thread() is self._thread
        self.sought.append((partition, offset))
        self.thread_loop.call_soon(lambda: self.next_saw.append(self.consumer.epochs.of(partition)))

    async def position(self, partition: TP) -> int:
        await self._answer(partition)
        return self.sought[-1][1]

    async def beginning_offsets(self, partitions: list[TP]) -> dict[TP, int]:
        await self._answer(*partitions)
        return dict.fromkeys(partitions, 3)

    async def end_offsets(self, partitions: list[TP]) -> dict[TP, int]:
        await self._answer(*partitions)
        return dict.fromkeys(partitions, 9)

    async def _answer(self, partition: TP) -> None:
        assert threading.current_thread() is self._thread
        self.asked += 1
        try:
            if self.leaders.get(partition) == SILENT:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.given_up += 1
            raise


@pytest.fixture
def thread() -> Iterator[Thread]:
    made = consumer()
    made._thread = thread = Thread(made)  # type: ignore[assignment]
    yield thread
    thread.end()


async def test_a_seek_happens_in_the_consumers_thread_and_counts_before_a_fetch_can_come_in_between(
    thread: Thread,
) -> None:
    for offset in (5, 1, 0):
        await thread.consumer.seek(PARTITION, offset)
        assert thread.sought[-1] == (PARTITION, offset)
    assert await thread.consumer.bounds(PARTITION)
    assert thread.next_saw == [1, 2, 3]


async def test_a_seek_given_up_before_the_thread_got_round_to_it_does_not_happen(thread: Thread) -> None:
    stands, goes_on = threading.Event(), threading.Event()

    def stand() -> None:
        stands.set()
        goes_on.wait(10)

    thread.thread_loop.call_soon_threadsafe(stand)
    assert await asyncio.to_thread(stands.wait, 10)
    seek = asyncio.create_task(thread.consumer.seek(PARTITION, 5))
    await asyncio.sleep(0)
    seek.cancel()
    await asyncio.gather(seek, return_exceptions=True)
    assert seek.cancelled()
    goes_on.set()
    await thread.consumer.seek(PARTITION, 1)
    assert thread.sought == [(PARTITION, 1)]


async def test_the_end_of_the_thread_is_no_answer_and_cancels_nobody_else(thread: Thread) -> None:
    """Faust's thread cancels what is left in it as it ends."""
    thread.leaders[PARTITION] = SILENT
    question = asyncio.create_task(thread.consumer.bounds(PARTITION))
    async with asyncio.timeout(10):
        while not thread.asked:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)
    thread.thread_loop.call_soon_threadsafe(lambda: [task.cancel() for task in asyncio.all_tasks(thread.thread_loop)])
    with pytest.raises(KafkaConnectionError):
        await asyncio.wait_for(question, 10)


async def test_what_is_known_of_a_log_is_asked_for_in_the_consumers_thread(
    thread: Thread, monkeypatch: pytest.MonkeyPatch
) -> None:
    await thread.consumer.seek(PARTITION, 7)
    monkeypatch.setattr(chunks_module, "skipped_offsets", lambda *_: range(3, 5))
    assert await thread.consumer.read_position(PARTITION) == (range(3, 5), 7)
    assert await thread.consumer.bounds(PARTITION) == (3, 9)


async def test_of_a_partition_without_a_leader_only_the_leader_is_asked_for(thread: Thread) -> None:
    thread.leaders[PARTITION] = -1
    for question in (thread.consumer.read_position, thread.consumer.bounds):
        with pytest.raises(LeaderNotAvailableError):
            await question(PARTITION)
    assert (thread.asked, thread.refreshed) == (0, 2)


async def test_many_questions_without_an_answer_keep_nobody_waiting_and_end_when_given_up(thread: Thread) -> None:
    """Faust's queue takes two calls at a time, and its fetches and commits wait in it."""
    silent, answers = TP("t", 1), TP("t", 2)
    thread.leaders[silent] = SILENT
    asked = [asyncio.create_task(thread.consumer.bounds(silent)) for _ in range(10)]
    assert await asyncio.wait_for(thread.consumer.bounds(answers), 10) == (3, 9)
    for question in asked:
        question.cancel()
    await asyncio.gather(*asked, return_exceptions=True)
    await asyncio.wait_for(thread.consumer.seek(answers, 1), 10)  # behind what the cancellations set off there
    assert (thread.asked, thread.given_up) == (12, 10)


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
