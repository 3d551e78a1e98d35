"""What Faust keeps of a chunk: its last offset until the next commit, and nothing after it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from types import SimpleNamespace

import pytest
from aiokafka.errors import KafkaConnectionError, LeaderNotAvailableError
from faust.transport.drivers import aiokafka as driver
from faust.types.tuples import TP

from recsys.kafka.records import Fetch
from stream.transport import chunks as chunks_module
from stream.transport.chunks import ChunkConsumer, _NoReadOffsets, _PromptConsumer
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


class Client:
    """Faust's service around aiokafka's consumer and that consumer in one.

    A partition that has no leader is known to be so; one with `SILENT` for a leader answers nothing.
    """

    def __init__(self, made: ChunkConsumer) -> None:
        self.consumer = made
        self.sought: list[tuple[TP, int]] = []
        self.next_saw: list[int] = []
        self.leaders: dict[TP, int] = {}
        self.asked = self.given_up = 0
        self.refreshed = 0
        self._client = SimpleNamespace(
            cluster=SimpleNamespace(leader_for_partition=self.leaders.get), force_metadata_update=self.refresh
        )

    def refresh(self) -> None:
        self.refreshed += 1

    def _ensure_consumer(self) -> Client:
        return self

    def seek(self, partition: TP, offset: int) -> None:
        self.sought.append((partition, offset))
        asyncio.get_running_loop().call_soon(lambda: self.next_saw.append(self.consumer.epochs.of(partition)))

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
        self.asked += 1
        try:
            if self.leaders.get(partition) == SILENT:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.given_up += 1
            raise


@pytest.fixture
def client() -> Client:
    made = consumer()
    made._thread = client = Client(made)  # type: ignore[assignment]
    return client


async def test_a_seek_counts_before_a_fetch_can_come_in_between(client: Client) -> None:
    for offset in (5, 1, 0):
        await client.consumer.seek(PARTITION, offset)
        assert client.sought[-1] == (PARTITION, offset)
        await asyncio.sleep(0)
    assert client.next_saw == [1, 2, 3]


async def test_an_answer_that_the_consumer_gives_up_on_is_none_and_cancels_nobody(client: Client) -> None:
    """aiokafka cancels what waits for a broker when it is stopped."""
    waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def no_answer(partitions: list[TP]) -> dict[TP, int]:
        await waiting
        raise AssertionError(partitions)

    client.beginning_offsets = no_answer  # type: ignore[method-assign]
    question = asyncio.create_task(client.consumer.bounds(PARTITION))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(KafkaConnectionError, match="ending"):
        await question


async def test_what_is_known_of_a_log(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    await client.consumer.seek(PARTITION, 7)
    monkeypatch.setattr(chunks_module, "skipped_offsets", lambda *_: range(3, 5))
    assert await client.consumer.read_position(PARTITION) == (range(3, 5), 7)
    assert await client.consumer.bounds(PARTITION) == (3, 9)


async def test_of_a_partition_without_a_leader_only_the_leader_is_asked_for(client: Client) -> None:
    client.leaders[PARTITION] = -1
    for question in (client.consumer.read_position, client.consumer.bounds):
        with pytest.raises(LeaderNotAvailableError):
            await question(PARTITION)
    assert (client.asked, client.refreshed) == (0, 2)


async def test_many_questions_without_an_answer_keep_nobody_waiting_and_end_when_given_up(client: Client) -> None:
    silent, answers = PARTITION, TP("t", 1)
    client.leaders[silent] = SILENT
    asked = [asyncio.create_task(client.consumer.bounds(silent)) for _ in range(10)]
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        assert await client.consumer.bounds(answers) == (3, 9)
    for question in asked:
        question.cancel()
    ends = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(end, asyncio.CancelledError) for end in ends)
    assert (client.asked, client.given_up) == (12, 10)


def test_faust_takes_nothing_for_a_repetition(monkeypatch: pytest.MonkeyPatch) -> None:
    """It writes the offset of a chunk after its delivery, and would drop what was sought meanwhile."""
    monkeypatch.setattr(driver.Consumer, "__init__", lambda *_: None)  # Faust's makes a client
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
    made, service = consumer(), object.__new__(_PromptConsumer)
    made._thread, service.consumer = service, made
    fetched = Fetched([FakeRecord(7, None)])
    fetched.fetch = Fetch(0, begun_at=3)

    async def sought_meanwhile(*_: object, **__: object) -> dict[TP, Fetched]:
        made.epochs.sought(PARTITION)
        return {PARTITION: fetched}

    async def through_the_service(_self: object, *_: object) -> object:
        records = await service._fetch_records()
        made.epochs.sought(PARTITION)  # a seek after the fetch: what it brought is older
        return records

    monkeypatch.setattr(driver.AIOKafkaConsumerThread, "_fetch_records", sought_meanwhile)
    monkeypatch.setattr(driver.Consumer, "_getmany", through_the_service)
    monkeypatch.setattr(ChunkConsumer, "_backlog", lambda *_: 0)
    (chunk,) = (await made._getmany(None, 1.0))[PARTITION]
    assert (chunk.fetch, made.epochs.of(PARTITION)) == (Fetch(epoch=1, begun_at=3), 2)
