"""The merged trending list: sums of all shards, shown relative to the top; a shard that cannot be read is left out."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from recsys.engagement import ForwardDecay
from recsys.errors import UnreadableState
from recsys.keys import Shard, Topology
from recsys.online_store import ShardTrend
from recsys.online_store.memory import MemoryStore
from stream.engagement.trending import merge_trending
from tests.doubles.effects import effects
from tests.doubles.merges import merges_of
from tests.doubles.stream import ARRIVAL

TOPOLOGY = Topology(3)
NOW = 1_700_000_000_000
YEAR_MS = 365 * 86_400_000
SHARDS = [Shard(0), Shard(1)]


class Store(MemoryStore):
    """Every shard trends one course; one of them may not be readable."""

    spoilt: int | None = 1

    async def trend(self, shard: Shard, limit: int, **_: Any) -> ShardTrend:
        if shard == self.spoilt:
            raise UnreadableState(f"{{s{shard}}}:trend", "holds a list, not a hash")
        return ShardTrend({f"c{shard}": 1.0}, 0)


@pytest.mark.parametrize("times", [1, 3])
async def test_the_others_are_merged_and_the_key_is_named_once(times: int) -> None:
    store = Store()
    merges = merges_of(store, TOPOLOGY, catalogue=lambda: None, now_ms=lambda: ARRIVAL)
    with capture_logs() as said:
        for _ in range(times):
            await merges._merge_trending()
        merged = await store.trending()
        assert merged is not None
        assert set(merged.course_ids) == {"c0", "c2"}
        store.spoilt = None
        await merges._merge_trending()
    assert [(line["event"], "{s1}:trend" in line["error"]) for line in said] == [("trending_incomplete", True)]
    merged = await store.trending()
    assert merged is not None
    assert len(merged.course_ids) == 3


async def trending_of(*shards: dict[str, float], at_ms: int = NOW, size: int = 10) -> dict[str, float]:
    """The merged list of weights that happened at `at_ms`, as it is read back."""
    store, decay = MemoryStore(), ForwardDecay(10.0)
    for shard, sums in zip(SHARDS, shards, strict=False):
        stored = {course: decay.stored(weight, at_ms) for course, weight in sums.items()}
        await store.commit(shard, "g", None, 0, effects(trend=stored))
    await merge_trending(store, SHARDS, size=size, now_ms=NOW)
    trending = await store.trending()
    assert trending is not None
    assert trending.computed_at_ms == NOW
    return dict(zip(trending.course_ids, trending.scores, strict=True))


async def test_trending_adds_the_shards_up_and_the_top_is_1() -> None:
    assert await trending_of({"a": 1.0, "b": 3.0}, {"a": 2.5}) == pytest.approx({"a": 1.0, "b": 3.0 / 3.5})


async def test_only_the_best_are_listed() -> None:
    assert list(await trending_of({"a": 1.0, "b": 3.0}, {"a": 2.5}, size=1)) == ["a"]


async def test_scores_are_the_same_however_long_ago_everybody_was_there() -> None:
    assert await trending_of({"a": 1.0, "b": 4.0}, at_ms=NOW - 20 * YEAR_MS) == pytest.approx({"b": 1.0, "a": 0.25})


async def test_a_course_that_learners_turned_away_from_does_not_trend() -> None:
    assert await trending_of({"a": 1.0, "b": -4.0}, {"c": 0.0}) == {"a": 1.0}


async def test_nothing_trends_where_nobody_was() -> None:
    assert await trending_of() == {}
