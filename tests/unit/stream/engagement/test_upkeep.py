"""The tasks beside the agent, seen from their collaborators."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from recsys.errors import ServiceUnavailable, TopologyMismatch
from recsys.keys import Topology
from recsys.online_store.memory import MemoryStore
from recsys.settings import load_settings
from stream.engagement import metrics
from stream.engagement import upkeep as upkeep_module
from stream.engagement.commit import ShardWriter
from stream.engagement.upkeep import Upkeep


@pytest.mark.parametrize(
    ("rebalancing", "waiting", "looked_after"), [(False, 0, True), (True, 0, False), (False, 1, False)]
)
async def test_only_idle_partitions_that_are_not_changing_hands_are_looked_after(
    monkeypatch: pytest.MonkeyPatch, rebalancing: bool, waiting: int, looked_after: bool
) -> None:
    monkeypatch.setattr(upkeep_module, "HEAL_EVERY_S", 0.001)
    turns, looks = iter(range(1000)), 0
    turned = asyncio.Event()

    async def look() -> None:
        nonlocal looks
        looks += 1

    def owned() -> set[int]:
        if next(turns) > 2:
            turned.set()
        return {4}

    def writer(_: int) -> ShardWriter:
        return cast("ShardWriter", SimpleNamespace(look=look, applied=None))

    unused: Any = None
    tasks = Upkeep(
        load_settings(),
        MemoryStore(),
        Topology(6),
        owned=owned,
        rebalancing=lambda: rebalancing,
        writer=writer,
        log_of=unused,
        waiting=lambda _: waiting,
        now_ms=lambda: 0,
    )
    healing = asyncio.create_task(tasks.heal())
    await asyncio.wait_for(turned.wait(), 10)
    healing.cancel()
    assert (looks > 0) is looked_after


class Looks:
    """Partitions 0, 1 and 2 and the looks at them: 1 does not answer, 0 waits for its answer after two looks."""

    def __init__(self) -> None:
        self.looks = dict.fromkeys(range(3), 0)
        self.silent, self.asked = {1}, True
        self.answer, self.given_up = asyncio.Event(), False
        self.waiting, self.applied = {0: 0, 1: 0, 2: 0}, 4

    def writer(self, partition: int) -> ShardWriter:
        async def look() -> bool:
            self.looks[partition] += 1
            if partition in self.silent:
                raise ServiceUnavailable("expected an answer, received none")
            if partition == 0 and self.looks[0] > 2:
                try:
                    await self.answer.wait()
                except asyncio.CancelledError:
                    self.given_up = True
                    raise
            return self.asked

        return cast("ShardWriter", SimpleNamespace(look=look, applied=self.applied))


@pytest.fixture
async def healing(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Looks, list[Any]]]:
    """Healing under way and what it says."""
    monkeypatch.setattr(upkeep_module, "HEAL_EVERY_S", 0.001)
    metrics.UNREACHABLE.set(0)
    partitions, unused = Looks(), cast("Any", None)
    tasks = Upkeep(
        load_settings(),
        MemoryStore(),
        Topology(6),
        owned=lambda: {0, 1, 2},
        rebalancing=lambda: False,
        writer=partitions.writer,
        log_of=unused,
        waiting=partitions.waiting.__getitem__,
        now_ms=lambda: 0,
    )
    with capture_logs() as said:
        healing = asyncio.create_task(tasks.heal())
        yield partitions, said
        healing.cancel()
        await asyncio.gather(healing, return_exceptions=True)
    waits = partitions.looks[0] > 2 and not partitions.answer.is_set()
    assert partitions.given_up is waits


def told(said: list[Any]) -> list[tuple[str, int]]:
    return [(line["event"], line["partition"]) for line in said]


def shown() -> float:
    value: float = metrics.UNREACHABLE._value.get()
    return value


async def test_a_partition_that_waits_for_its_answer_delays_no_other(healing: tuple[Looks, list[Any]]) -> None:
    partitions, _ = healing
    await until(lambda: min(partitions.looks[1], partitions.looks[2]) > 20)
    assert partitions.looks[0] == 3
    partitions.answer.set()
    await until(lambda: partitions.looks[0] > 5)


async def test_a_partition_without_an_answer_is_told_once_and_counted(healing: tuple[Looks, list[Any]]) -> None:
    partitions, said = healing
    await until(lambda: partitions.looks[1] > 5)
    assert (told(said), shown()) == ([("partition_unreachable", 1)], 1)
    partitions.silent, partitions.asked = set(), False  # what was not asked is not answered
    looked = partitions.looks[1]
    await until(lambda: partitions.looks[1] > looked + 3)
    assert (told(said), shown()) == ([("partition_unreachable", 1)], 1)
    partitions.asked = True
    await until(lambda: shown() == 0)
    assert told(said) == [("partition_unreachable", 1), ("partition_reachable_again", 1)]


async def test_a_partition_that_has_work_is_reachable_once_something_was_applied(
    healing: tuple[Looks, list[Any]],
) -> None:
    partitions, said = healing
    await until(lambda: shown() == 1)
    partitions.waiting[1] = 1  # it may be Redis that is away
    turn = partitions.looks[2]
    await until(lambda: partitions.looks[2] > turn + 5)
    assert (told(said), shown()) == ([("partition_unreachable", 1)], 1)
    partitions.applied = 5
    await until(lambda: shown() == 0)
    assert told(said) == [("partition_unreachable", 1), ("partition_reachable_again", 1)]


async def test_what_a_look_cannot_bear_ends_healing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep_module, "HEAL_EVERY_S", 0.001)
    unused: Any = None

    def writer(_: int) -> ShardWriter:
        async def look() -> bool:
            raise TopologyMismatch("another topic")

        return cast("ShardWriter", SimpleNamespace(look=look, applied=None))

    tasks = Upkeep(
        load_settings(),
        MemoryStore(),
        Topology(6),
        owned=lambda: {0},
        rebalancing=lambda: False,
        writer=writer,
        log_of=unused,
        waiting=lambda _: 0,
        now_ms=lambda: 0,
    )
    with pytest.raises(TopologyMismatch):
        await asyncio.wait_for(tasks.heal(), 10)


async def until(reached: Callable[[], bool]) -> None:
    """Polls for at most 10 s."""
    async with asyncio.timeout(10):
        while not reached():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)
