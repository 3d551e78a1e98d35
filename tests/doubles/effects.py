"""Effects in a test's words, as the registered projections state them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from recsys.keys import BOT, COUNTS, DIRTY, DONE, ENGAGEMENT, EVENT_IDS, TREND
from recsys.online_store import Effects
from recsys.online_store.operations import (
    SHARD_ITSELF,
    Bound,
    CounterAdd,
    DigestAdd,
    HashFloats,
    HashText,
    Operation,
    SetAdd,
    SortedSetMark,
)


def effects(
    *,
    engagement: Mapping[str, Mapping[str, float]] | None = None,
    done: Mapping[str, Sequence[str]] | None = None,
    trend: Mapping[str, float] | None = None,
    bots: Mapping[str, Mapping[str, str]] | None = None,
    ids: Sequence[bytes] = (),
    bucket: int = 0,
    counts: Mapping[str, int] | None = None,
    max_courses: int = 2000,
    max_done: int = 10_000,
    trend_size: int = 10_000,
) -> Effects:
    """What a batch changes; bounds have no slack."""
    engagement = engagement or {}
    operations: list[Operation] = [
        HashFloats(ENGAGEMENT, engagement, Bound(max_courses, slack=0), indexed=True),
        SortedSetMark(DIRTY, engagement),
        SetAdd(DONE, done or {}, Bound(max_done, slack=0)),
        *[HashText(BOT, tuple(fields), {user: tuple(fields.values())}) for user, fields in (bots or {}).items()],
        HashFloats(TREND, {SHARD_ITSELF: trend} if trend else {}, Bound(trend_size, slack=0)),
        DigestAdd(EVENT_IDS, str(bucket), ids),
        CounterAdd(COUNTS, counts or {}),
    ]
    return Effects(operations, counts or {}, len(engagement))
