"""The merged trending list: every shard's part added up by the owner of one partition, for all."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable

from recsys.engagement import relative_to_first
from recsys.errors import UnreadableState
from recsys.keys import Shard
from recsys.online_store import Lists, Trending

TREND_CANDIDATES = 1000


async def merge_trending(
    store: Lists,
    shards: Iterable[Shard],
    *,
    size: int,
    now_ms: int,
    catalogue: Container[str] | None = None,
    left_out: Callable[[UnreadableState], None] = lambda _: None,
) -> Trending:
    """Adds the shards' trending sums up, and writes the merged list: who is above 0, relative to the top.

    All sums decay alike, so relative scores need no decay, and they stay exact however long ago everybody was there.

    Args:
        store: The online store.
        shards: All shards in use.
        size: Courses in the list.
        now_ms: Now, ms since 1970 UTC.
        catalogue: The courses that may be shown; None where no catalogue is known. Others keep their sums, and join the
            list once a catalogue knows them.
        left_out: Told why, for each shard whose part cannot be read.

    Returns:
        The list.
    """
    merged: dict[str, float] = {}
    known = None if catalogue is None else catalogue.__contains__
    unjoined = 0
    for shard in shards:
        try:
            part = await store.trend(shard, TREND_CANDIDATES, known=known)
        except UnreadableState as error:
            left_out(error)
            continue
        unjoined += part.unjoined
        for course, stored in part.sums.items():
            merged[course] = merged.get(course, 0.0) + stored
    above = [course for course, stored in merged.items() if stored > 0]
    best = sorted(above, key=lambda course: (-merged[course], course))[:size]
    scores = relative_to_first([merged[course] for course in best])
    trending = Trending(now_ms, tuple(best), tuple(scores), unjoined)
    await store.write_trending(trending)
    return trending
