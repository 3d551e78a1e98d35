"""Two rebuilds at a time: one of them says so, and neither drops shards that are in use."""

from __future__ import annotations

import pytest

from recsys.errors import TopologyMismatch
from recsys.keys import Partition, Shard, Topology
from recsys.online_store import Effects
from recsys.online_store.memory import MemoryStore
from recsys.settings import load_settings
from stream.rebuild.generation import check_written, fill
from stream.rebuild.previous import Previous
from stream.rebuild.spans import Span

BEFORE, AFTER = Topology(1), Topology(1, 1)
SPANS = [Span(Partition(0), 0, 0, applied=True)]


async def previous(store: MemoryStore) -> Previous:
    await store.establish_topology(BEFORE)
    return await Previous.find(store, load_settings().consumer_group, 1)


async def test_shards_that_came_into_use_meanwhile_are_not_dropped() -> None:
    store = MemoryStore()
    slow = await previous(store)
    await fill(load_settings(), slow, AFTER, SPANS)
    assert await store.switch_topology(BEFORE, AFTER)  # the other one, and workers go on from there
    assert await store.commit(Shard(10_000), slow.group, -1, 7, Effects())
    with pytest.raises(TopologyMismatch, match="another rebuild has switched"):
        await fill(load_settings(), slow, AFTER, SPANS)
    assert await store.fence(Shard(10_000), slow.group) == 7


async def test_nothing_is_switched_to_shards_that_another_rebuild_dropped() -> None:
    store = MemoryStore()
    first = await previous(store)
    await fill(load_settings(), first, AFTER, SPANS)
    await check_written(first, AFTER, SPANS)
    await store.drop_shards(AFTER.shards())
    with pytest.raises(TopologyMismatch, match="another rebuild dropped"):
        await check_written(first, AFTER, SPANS)
