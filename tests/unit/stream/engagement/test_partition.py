"""One object holds all of an owned partition: order, backpressure, acknowledgement, the idle check, and its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from recsys.errors import ServiceUnavailable, TopologyMismatch
from recsys.kafka.records import Chunk, goes_on, joined
from recsys.keys import Partition
from recsys.online_store.memory import MemoryStore
from stream.engagement import metrics
from stream.engagement.partitions import QUEUED_FETCHES
from stream.engagement.record_semaphore import RecordSemaphore
from tests.doubles.partitions import PARTITIONS, Scene
from tests.doubles.stream import FakeLog, chunk, event, until


class GatedStore(MemoryStore):
    """Commits wait for the gate; counts how many are in work, and refuses two of one shard."""

    def __init__(self, *, opened: bool) -> None:
        super().__init__()
        self.gate, self.in_work, self.most = asyncio.Event(), set[int](), 0
        if opened:
            self.gate.set()

    async def commit(self, shard: Any, *arguments: Any) -> bool:
        assert shard not in self.in_work, "two commits of one partition at once"
        self.in_work.add(shard)
        self.most = max(self.most, len(self.in_work))
        await asyncio.sleep(0)
        await self.gate.wait()
        self.in_work.discard(shard)
        return await super().commit(shard, *arguments)


async def test_a_partition_is_applied_in_order_and_partitions_overlap() -> None:
    store = GatedStore(opened=True)
    scene = Scene(store)
    deliveries = [await scene.put(partition, offset) for offset in range(20) for partition in range(PARTITIONS)]
    await scene.partitions.drain()
    for partition in range(PARTITIONS):
        applied = [offset for number, offset in scene.applied if number == partition]
        assert applied == sorted(applied)
        assert await scene.fence(partition) == 19
    assert store.most == PARTITIONS
    assert all(delivery.acked for delivery in deliveries)


async def test_chunks_that_wait_one_behind_the_other_take_one_commit() -> None:
    store = GatedStore(opened=False)
    scene = Scene(store)
    first = await scene.put(0, 0)
    await until(lambda: bool(store.in_work))
    waiting = [await scene.put(0, offset) for offset in (1, 2, 3)]
    beyond = await scene.put(0, 9)
    store.gate.set()
    await scene.partitions.drain()
    assert scene.applied == [(0, 0), (0, 3)]
    assert [delivery.acked for delivery in (first, *waiting, beyond)] == [True, True, True, True, False]
    assert scene.partitions.of(Partition(0)).waiting == 0


async def test_chunks_are_joined_up_to_the_records_of_one_fetch() -> None:
    store = GatedStore(opened=False)
    scene = Scene(store, records_a_fetch=2)
    deliveries = [await scene.put(0, 0)]
    await until(lambda: bool(store.in_work))
    deliveries += [await scene.put(0, offset) for offset in (1, 2, 3, 4, 5)]
    store.gate.set()
    await scene.partitions.drain()
    assert scene.applied == [(0, 0), (0, 2), (0, 4), (0, 5)]
    assert all(delivery.acked for delivery in deliveries)


def test_chunks_are_joined_only_where_the_log_holds_nothing_in_between() -> None:
    def of(*offsets: int, epoch: int = 0, begun_at: int | None = None) -> Chunk:
        return chunk(*(event(offset, "u") for offset in offsets), epoch=epoch, begun_at=begun_at)

    both = joined([of(3, 4), of(5), of(6)._replace(backlog=7)])
    assert [record.offset for record in both.records] == [3, 4, 5, 6]
    assert (both.fetch, both.backlog) == (of(3).fetch, 7)
    assert goes_on(of(2, 3), of(4, 5))
    assert goes_on(of(3), of(8, begun_at=4))  # over markers
    for other in (of(8), of(8, begun_at=5), of(4, epoch=1), of(3), of(2)):
        assert not goes_on(of(3), other)


async def test_records_that_are_queued_are_bounded_over_all_partitions() -> None:
    store = GatedStore(opened=False)
    scene = Scene(store, records_a_fetch=3)
    for number in range(3 * QUEUED_FETCHES):
        await asyncio.wait_for(scene.put(number % PARTITIONS, number // PARTITIONS), 10)
    more = [asyncio.create_task(scene.put(0, 90 + number)) for number in range(2)]
    for _ in range(20):
        await asyncio.sleep(0)
    assert not any(task.done() for task in more)
    store.gate.set()
    await asyncio.wait_for(asyncio.gather(*more), 10)
    await scene.partitions.drain()


async def test_a_chunk_that_gave_up_waiting_counts_nothing_and_holds_up_nobody() -> None:
    queued = RecordSemaphore(2)
    await queued.acquire(2)
    given_up, waiting = (asyncio.create_task(queued.acquire(records)) for records in (5, 1))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.gather(given_up, return_exceptions=True)
    queued.release(1)
    await asyncio.wait_for(waiting, 10)
    queued.release(1)
    await asyncio.wait_for(queued.acquire(1), 10)


async def test_a_chunk_enters_whole_and_chunks_enter_in_the_order_in_which_they_came() -> None:
    queued, entered = RecordSemaphore(10), list[int]()

    async def enter(records: int) -> None:
        await queued.acquire(records)
        entered.append(records)

    await enter(9)
    await enter(5)
    waiting = [asyncio.create_task(enter(records)) for records in (4, 1, 2)]
    for left, expected in ((4, []), (1, [4]), (3, [4]), (1, [4, 1]), (1, [4, 1, 2])):
        queued.release(left)
        for _ in range(10):
            await asyncio.sleep(0)
        assert entered[2:] == expected
    await asyncio.gather(*waiting)


async def test_a_chunk_beyond_a_gap_is_not_acknowledged() -> None:
    scene = Scene()
    first, beyond, again = await scene.put(0, 0), await scene.put(0, 5), await scene.put(0, 0)
    await scene.partitions.drain()
    assert (first.acked, beyond.acked, again.acked) == (True, False, True)
    assert scene.logs[Partition(0)].seeks == [1]


async def test_what_the_writer_raises_ends_the_process_and_acknowledges_nothing() -> None:
    class Broken(MemoryStore):
        async def read_shard(self, *_: Any) -> NoReturn:
            raise RuntimeError("a bug")

    gave_up: list[Exception] = []

    async def note(error: Exception) -> NoReturn:
        gave_up.append(error)
        await asyncio.Event().wait()
        raise AssertionError

    scene = Scene(Broken(), give_up=note)
    delivery = await scene.put(0, 0)
    await until(lambda: bool(gave_up))
    assert (str(gave_up[0]), delivery.acked) == ("a bug", False)


async def test_what_happens_after_the_commit_ends_the_process_too_and_not_only_the_partitions_task() -> None:
    gave_up: list[Exception] = []

    async def note(error: Exception) -> NoReturn:
        gave_up.append(error)
        await asyncio.Event().wait()
        raise AssertionError

    class Unacknowledgeable:
        def __init__(self, value: Chunk) -> None:
            self.value = value

        def ack(self) -> NoReturn:
            raise RuntimeError("the consumer is gone")

    scene = Scene(give_up=note)
    await scene.partitions.put(Unacknowledgeable((await scene.put(1, 0)).value))
    await until(lambda: bool(gave_up))
    assert str(gave_up[0]) == "the consumer is gone"


async def test_a_revocation_drops_the_whole_object_after_the_step_in_work() -> None:
    store = GatedStore(opened=False)
    scene = Scene(store, records_a_fetch=1)
    in_work = await scene.put(0, 0)
    dropped = scene.partitions.of(Partition(0))
    await until(lambda: bool(store.in_work))
    queued = await scene.put(0, 1)
    dropping = asyncio.create_task(scene.partitions.drop())
    await asyncio.sleep(0)
    late = await scene.put(0, 1)  # its next owner is this worker again
    assert scene.partitions.of(Partition(0)) is not dropped
    store.gate.set()
    await asyncio.wait_for(dropping, 10)
    await scene.partitions.drain()
    await dropped.drain()
    assert (in_work.acked, queued.acked, dropped.waiting) == (True, False, 0)
    assert late.acked == (await scene.fence(0) == 1)
    store.gate.clear()
    for number in range(QUEUED_FETCHES):  # nothing of what was dropped counts as queued
        await asyncio.wait_for(scene.put(1, number), 10)
    store.gate.set()
    await scene.partitions.drain()


async def test_chunks_that_come_after_the_end_are_left_alone() -> None:
    scene = Scene(records_a_fetch=1)
    await scene.put(0, 0)
    await scene.partitions.drain()
    await scene.partitions.end()
    late = [await asyncio.wait_for(scene.put(0, 1 + number), 10) for number in range(2 * QUEUED_FETCHES)]
    assert not any(delivery.acked for delivery in late)
    assert (await scene.fence(0), await scene.starts(0)) == (0, 0)


async def test_a_partition_that_cannot_end_delays_its_worker_for_a_bounded_time() -> None:
    class SilentStore(MemoryStore):
        async def end(self, *_: object) -> None:
            await asyncio.Event().wait()

    scene = Scene(SilentStore(), release_s=0.01)
    await scene.put(0, 0)
    await scene.partitions.drain()
    await asyncio.wait_for(scene.partitions.end(), 10)


async def test_what_is_shown_of_a_partition_is_shown_by_its_owner_alone() -> None:
    def shown(name: str) -> float | None:
        return REGISTRY.get_sample_value(name, {"partition": "2"})

    store = GatedStore(opened=False)
    scene = Scene(store)
    await scene.put(2, 0)
    await until(lambda: bool(store.in_work))
    assert shown("recsys_partition_stopped") == 0.0
    dropping = asyncio.create_task(scene.partitions.drop())
    await asyncio.sleep(0)
    store.gate.set()  # the step in work moves the fence after the partition was revoked
    await asyncio.wait_for(dropping, 10)
    assert await scene.fence(2) == 0
    assert (shown("recsys_fence_offset"), shown("recsys_partition_stopped")) == (None, None)


class Observed(FakeLog):
    """Counts its idle checks; may be silent, and may keep one waiting after two."""

    def __init__(self) -> None:
        super().__init__()
        self.checks, self.silent, self.waits = 0, False, False
        self.answer, self.given_up = asyncio.Event(), False

    async def position(self) -> tuple[range, int | None]:
        self.checks += 1
        if self.silent:
            raise ServiceUnavailable("no answer from Kafka")
        if self.waits and self.checks > 2:
            try:
                await self.answer.wait()
            except asyncio.CancelledError:
                self.given_up = True
                raise
        return await super().position()


@dataclass
class Checking:
    """Idle checks under way: 1 is silent, 0 waits for its answer after two checks."""

    scene: Scene
    logs: list[Observed]
    said: list[Any]

    def told(self) -> list[tuple[str, int]]:
        return [(line["event"], line["partition"]) for line in self.said if "reachable" in line["event"]]


@pytest.fixture
async def checking() -> AsyncIterator[Checking]:
    metrics.UNREACHABLE.set(0)
    scene = Scene(log=Observed)
    logs: list[Any] = list(scene.logs.values())
    logs[0].waits, logs[1].silent = True, True
    with capture_logs() as said:
        task = asyncio.create_task(scene.checks.check_idle_partitions())
        yield Checking(scene, logs, said)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    waits = logs[0].checks > 2 and not logs[0].answer.is_set()
    assert logs[0].given_up is waits


def unreachable() -> float:
    value: float = metrics.UNREACHABLE._value.get()
    return value


async def test_a_partition_that_waits_for_its_answer_delays_no_other(checking: Checking) -> None:
    logs = checking.logs
    await until(lambda: min(logs[1].checks, logs[2].checks) > 20)
    assert logs[0].checks == 3
    logs[0].answer.set()
    await until(lambda: logs[0].checks > 5)


async def test_a_partition_without_an_answer_is_told_once_and_counted(checking: Checking) -> None:
    silent = checking.logs[1]
    await until(lambda: silent.checks > 5)
    assert (checking.told(), unreachable()) == ([("partition_unreachable", 1)], 1)
    lock = checking.scene.partitions.of(Partition(1))._writer._one_at_a_time
    async with lock:  # what is not asked is not answered
        silent.silent = False
        turn = checking.logs[2].checks
        await until(lambda: checking.logs[2].checks > turn + 3)
        assert (checking.told(), unreachable()) == ([("partition_unreachable", 1)], 1)
    await until(lambda: unreachable() == 0)
    assert checking.told() == [("partition_unreachable", 1), ("partition_reachable_again", 1)]


async def test_a_partition_that_has_work_is_reachable_once_something_was_applied(checking: Checking) -> None:
    await until(lambda: unreachable() == 1)
    partition = checking.scene.partitions.of(Partition(1))
    async with partition._writer._one_at_a_time:  # it may be Redis that is away
        await checking.scene.put(1, 0)
        turn = checking.logs[2].checks
        await until(lambda: checking.logs[2].checks > turn + 5)
        assert (checking.told(), unreachable()) == ([("partition_unreachable", 1)], 1)
        await checking.scene.put(1, 1)
        partition._writer._fence = 0
        await until(lambda: unreachable() == 0)
    assert checking.told() == [("partition_unreachable", 1), ("partition_reachable_again", 1)]


@pytest.mark.parametrize("rebalancing", [False, True])
async def test_only_partitions_that_are_not_changing_hands_are_checked(rebalancing: bool) -> None:
    scene, turns = Scene(log=Observed), 0

    def is_rebalancing() -> bool:
        nonlocal turns
        turns += 1
        return rebalancing

    checks = replace(scene.checks, rebalancing=is_rebalancing)
    task = asyncio.create_task(checks.check_idle_partitions())
    await until(lambda: turns > 5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    logs: list[Any] = list(scene.logs.values())
    assert any(log.checks for log in logs) is not rebalancing


async def test_a_partition_with_a_chunk_in_work_is_not_checked() -> None:
    store = GatedStore(opened=False)
    scene = Scene(store, log=Observed)
    await scene.put(0, 0)
    await until(lambda: bool(store.in_work))
    task = asyncio.create_task(scene.checks.check_idle_partitions())
    logs: list[Any] = list(scene.logs.values())
    await until(lambda: logs[1].checks > 5)
    assert logs[0].checks == 0
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    store.gate.set()
    await scene.partitions.drain()


async def test_an_unrecoverable_error_of_an_idle_check_ends_the_checks() -> None:
    class OtherTopic(FakeLog):
        async def position(self) -> tuple[range, int | None]:
            raise TopologyMismatch("another topic")

    scene = Scene(log=OtherTopic)
    with pytest.raises(TopologyMismatch):
        await asyncio.wait_for(scene.checks.check_idle_partitions(), 10)


async def test_a_stopped_partition_has_nothing_to_do_and_one_that_kafka_is_silent_about_is_unknown() -> None:
    class Silent(FakeLog):
        async def unread(self) -> int:
            raise ServiceUnavailable("no answer from Kafka")

    scene = Scene(log=Silent)
    partition = scene.partitions.of(Partition(0))
    assert await partition.progress() == (None, None)
    scene.logs[Partition(1)] = FakeLog(end=9, next_offset=4)
    await scene.put(1, 0)
    await scene.partitions.drain()
    assert await scene.partitions.of(Partition(1)).progress() == (0, 5)


async def test_a_chunk_in_work_is_something_to_do_though_the_log_is_read_to_its_end() -> None:
    store = GatedStore(opened=False)
    scene = Scene(store)
    scene.logs[Partition(0)].end = scene.logs[Partition(0)].next_offset = 2
    await scene.put(0, 0)
    await scene.put(0, 1)
    await until(lambda: bool(store.in_work))
    assert await scene.partitions.of(Partition(0)).progress() == (None, 2)
    store.gate.set()
    await scene.partitions.drain()
    assert await scene.partitions.of(Partition(0)).progress() == (1, 0)


async def test_an_idle_check_that_waits_for_kafka_is_given_up_with_its_partition() -> None:
    scene = Scene(log=Observed)
    log: Any = scene.logs[Partition(0)]
    log.waits, log.checks = True, 2
    partition = scene.partitions.of(Partition(0))
    partition.start_idle_check()
    await until(lambda: log.checks == 3)
    await scene.partitions.drop()
    await until(lambda: log.given_up)
