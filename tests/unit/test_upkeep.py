"""The tasks beside the agent, seen from their collaborators."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from recsys.keys import Topology
from recsys.online_store.memory import MemoryStore
from recsys.settings import load_settings
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
