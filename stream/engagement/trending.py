"""The merged trending list: every shard's part added up by the owner of one partition, for all."""

from __future__ import annotations

from collections.abc import Iterable

from recsys.engagement import ForwardDecay
from recsys.keys import Shard
from recsys.online_store import Lists, Trending

TREND_CANDIDATES = 1000


async def merge_trending(store: Lists, shards: Iterable[Shard], decay: ForwardDecay, *, size: int, now_ms: int) -> None:
    """Adds the shards' trending sums up and writes the merged list (scores decayed to `now_ms`)."""
    merged: dict[str, float] = {}
    for shard in shards:
        for course, stored in (await store.trend(shard, TREND_CANDIDATES)).items():
            merged[course] = merged.get(course, 0.0) + stored
    best = sorted(merged, key=lambda course: (-merged[course], course))[:size]
    scores = tuple(decay.score(merged[course], now_ms) for course in best)
    await store.write_trending(Trending(now_ms, tuple(best), scores))
