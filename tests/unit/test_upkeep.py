"""The tasks beside the agent, seen from their collaborators."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from recsys.errors import ServiceUnavailable
from recsys.keys import Topology
from recsys.online_store.memory import MemoryStore
from recsys.settings import load_settings
from stream import metrics
from stream import upkeep as upkeep_module
from stream.commit import ShardWriter
from stream.upkeep import Upkeep


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
        return cast("ShardWriter", SimpleNamespace(look=look))

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


async def test_a_partition_without_an_answer_is_told_once_counted_and_delays_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(upkeep_module, "HEAL_EVERY_S", 0.001)
    looks, silent, answers = dict.fromkeys(range(3), 0), {1}, asyncio.Event()

    def writer(partition: int) -> ShardWriter:
        async def look() -> None:
            looks[partition] += 1
            if partition in silent:
                raise ServiceUnavailable("expected an answer, received none")
            if looks[0] == 3 and partition == 0:
                await answers.wait()

        return cast("ShardWriter", SimpleNamespace(look=look))

    unused: Any = None
    tasks = Upkeep(
        load_settings(),
        MemoryStore(),
        Topology(6),
        owned=lambda: {0, 1, 2},
        rebalancing=lambda: False,
        writer=writer,
        log_of=unused,
        waiting=lambda _: 0,
        now_ms=lambda: 0,
    )
    with capture_logs() as said:
        healing = asyncio.create_task(tasks.heal())
        await until(lambda: looks == {0: 3, 1: 3, 2: 3})
        assert metrics.UNREACHABLE._value.get() == 1
        silent.clear()
        answers.set()
        await until(lambda: looks[0] > 5)
        healing.cancel()
    assert [(line["event"], line["partition"]) for line in said] == [
        ("partition_unreachable", 1),
        ("partition_reachable_again", 1),
    ]
    assert metrics.UNREACHABLE._value.get() == 0


async def until(reached: Callable[[], bool]) -> None:
    """Polls for at most 10 s."""
    async with asyncio.timeout(10):
        while not reached():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)
