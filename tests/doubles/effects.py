"""Effects in a test's words, as the registered projections state them."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

import numpy as np

from recsys.course_sums.activity import Terms, added, packed, untouched
from recsys.keys import BOT, COUNTS, DIRTY, DONE, ENGAGEMENT, TREND
from recsys.online_store import Effects
from recsys.online_store.operations import (
    SHARD_ITSELF,
    CounterAdd,
    HashText,
    Operation,
    PutValues,
    SortedSetMark,
)
from recsys.record import FOREVER_MS, Record, pack

TOUCHED = Record(1_600_000_000_000, (1,))
"""The record behind every score: what it holds does not matter to those who read scores only."""


ONE_TOUCH = packed(added(untouched(1), Terms(np.zeros(1, int), np.full(1, 1.6e12), np.ones(1), np.ones(1))))[0]
"""The activity of a course that one learner touched once."""


def scored(score: float) -> bytes:
    """A packed record with this engagement."""
    return pack(TOUCHED, score)


def summed(total: float, activity: bytes = ONE_TOUCH) -> bytes:
    """What is kept of a course: a sum of one term, and its activity."""
    return struct.pack("<ddI", total, 0.0, 1) + activity


def effects(
    *,
    engagement: Mapping[str, Mapping[str, float]] | None = None,
    done: Mapping[str, Sequence[str] | Mapping[str, int]] | None = None,
    trend: Mapping[str, float] | None = None,
    bots: Mapping[str, Mapping[str, str]] | None = None,
    counts: Mapping[str, int] | None = None,
) -> Effects:
    """What a batch changes; courses are done until the time given in ms, for ever without one."""
    engagement = engagement or {}
    records = {user: {course: scored(score) for course, score in scores.items()} for user, scores in engagement.items()}
    ended = {
        user: {course: b"%d" % (courses[course] if isinstance(courses, Mapping) else FOREVER_MS) for course in courses}
        for user, courses in (done or {}).items()
    }
    sums = {course: summed(total) for course, total in (trend or {}).items()}
    operations: list[Operation] = [
        PutValues(ENGAGEMENT, records, indexed=True),
        SortedSetMark(DIRTY, engagement),
        PutValues(DONE, ended),
        *[HashText(BOT, tuple(fields), {user: tuple(fields.values())}) for user, fields in (bots or {}).items()],
        PutValues(TREND, {SHARD_ITSELF: sums} if sums else {}),
        CounterAdd(COUNTS, counts or {}),
    ]
    return Effects(operations, counts or {}, len(engagement))
