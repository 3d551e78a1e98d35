"""The activity of courses is merged over all shards when one of them moved, and never without one of them."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from recsys.course_sums.activity import LAST, Terms, added, packed, unpacked, untouched
from recsys.errors import UnreadableState
from recsys.keys import TREND, KeySpace, Partition, Shard, Topology
from recsys.online_store import AllActivity, Effects
from recsys.online_store.memory import MemoryStore
from recsys.online_store.operations import SHARD_ITSELF, PutValues
from recsys.process.tasks import cancelled
from recsys.settings import load_settings
from stream.engagement.course_activity import ANYWAY_EVERY_MS, ActivityMerge
from tests.doubles.effects import summed
from tests.doubles.merges import merges_of
from tests.doubles.stream import until

DAY_MS = 86_400_000
NOW = 1_700_000_000_000
GROUP = load_settings().consumer_group
TOPOLOGY = Topology(3)


def touched_at(*times: int) -> bytes:
    """A course that one learner after the other touched first."""
    ones = np.ones(len(times))
    return packed(added(untouched(1), Terms(np.zeros(len(times), np.int64), np.array(times, float), ones, ones)))[0]


async def put(store: MemoryStore, shard: int, offset: int, **values: bytes) -> None:
    fence = await store.fence(Shard(shard), GROUP)
    effects = Effects(
        [PutValues(TREND, {SHARD_ITSELF: {course: summed(1.0, vector) for course, vector in values.items()}})]
        if values
        else []
    )
    assert await store.commit(Shard(shard), GROUP, fence, offset, effects)


async def vectors(store: MemoryStore) -> dict[str, Any]:
    merged = await store.all_activity()
    assert isinstance(merged, AllActivity)
    size = len(merged.vectors) // max(1, len(merged.course_ids))
    values = [merged.vectors[start : start + size] for start in range(0, len(merged.vectors), size or 1)]
    return dict(zip(merged.course_ids, unpacked(values), strict=True))


def merging(store: MemoryStore) -> ActivityMerge:
    return ActivityMerge(store, TOPOLOGY.shards(), GROUP, KeySpace())


async def test_shards_are_added_up_as_of_the_last_touch_of_a_course() -> None:
    store = MemoryStore()
    await put(store, 0, 1, a=touched_at(NOW - DAY_MS), b=touched_at(NOW))
    await put(store, 2, 5, a=touched_at(NOW), unknown=touched_at(NOW))
    assert await merging(store).merge({"a", "b"}, NOW)
    found = await vectors(store)
    assert found.keys() == {"a", "b"}
    assert found["a"][0] == pytest.approx(1.5)  # half-life of a day
    assert (found["a"][8], found["a"][LAST], found["b"][8]) == (2, NOW, 1)
    assert await merging(store).merge(None, NOW)
    assert (await vectors(store)).keys() == {"a", "b", "unknown"}


async def test_nothing_is_merged_again_until_a_shard_moves_or_a_minute_has_passed() -> None:
    store = MemoryStore()
    merge = merging(store)
    assert await merge.merge(None, NOW)
    assert await vectors(store) == {}
    assert not await merge.merge(None, NOW + ANYWAY_EVERY_MS - 1)
    assert await merge.merge(None, NOW + ANYWAY_EVERY_MS)
    await put(store, 1, 0, a=touched_at(NOW))
    assert await merge.merge(None, NOW + ANYWAY_EVERY_MS + 1)
    assert (await vectors(store)).keys() == {"a"}


async def test_a_shard_that_cannot_be_read_leaves_what_was_merged_and_is_named_once() -> None:
    store = MemoryStore()
    await put(store, 0, 1, a=touched_at(NOW))
    await merging(store).merge(None, NOW)
    await put(store, 2, 1, a=b"five")
    with pytest.raises(UnreadableState, match=r"\{s2\}:trend"):
        await merging(store).merge(None, NOW)
    assert (await vectors(store))["a"][8] == 1
    turns = 0

    def owned() -> set[Partition]:
        nonlocal turns
        turns += 1
        return {Partition(0)}

    merges = merges_of(store, TOPOLOGY, owned=owned, now_ms=lambda: NOW, every_s=0.001)
    with capture_logs() as said:
        task = asyncio.create_task(merges.merge_for_all())
        await until(lambda: turns > 3)
        await cancelled([task])
    assert [line["event"] for line in said] == ["activity_not_merged"]
