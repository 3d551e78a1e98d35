"""Who merges trending for all, and how often."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from recsys.keys import Partition, Topology
from recsys.online_store import Trending
from recsys.online_store.memory import MemoryStore
from stream.engagement.merges import pause_after
from tests.doubles.merges import merges_of
from tests.doubles.stream import until

MINE = Topology(6)


@pytest.mark.parametrize(("owned", "merged"), [({0, 3}, True), ({3}, False), (set(), False)])
async def test_trending_is_merged_by_the_owner_of_one_partition_alone(owned: set[int], merged: bool) -> None:
    asked = 0

    def owned_now() -> set[Partition]:
        nonlocal asked
        asked += 1
        return {Partition(number) for number in owned}

    store = MemoryStore()
    merges = merges_of(store, MINE, owned=owned_now, every_s=0.001)
    task = asyncio.create_task(merges.merge_for_all())
    await until(lambda: asked > 3)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (await store.trending() is not None) is merged


async def test_trending_is_merged_less_often_while_a_worker_catches_up() -> None:
    class Store(MemoryStore):
        merged = 0

        async def write_trending(self, trending: Trending) -> None:
            self.merged += 1

    store, asked, behind = Store(), 0, True

    def catching_up() -> bool:
        nonlocal asked
        asked += 1
        return behind

    often = merges_of(store, MINE, owned=lambda: {Partition(0)}, every_s=0.001, catching_up=catching_up)
    task = asyncio.create_task(often.merge_for_all())
    await until(lambda: asked > 5)
    assert store.merged == 0
    behind = False
    await until(lambda: store.merged > 2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    store.merged, behind = 0, True
    task = asyncio.create_task(replace(often, longest_pause_s=0.01).merge_for_all())
    await until(lambda: store.merged > 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(("took_s", "pause_s"), [(0.0, 2.0), (0.2, 2.0), (0.5, 4.5), (60.0, 20.0)])
def test_a_merge_that_takes_long_is_made_less_often(took_s: float, pause_s: float) -> None:
    assert pause_after(took_s, 2.0) == pause_s
