"""Engagement: the forward-decayed sum of what a learner did with a course, and the learners whose lists it changes."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp2

from recsys.engagement import LANDMARK_MS, ForwardDecay
from recsys.keys import DIRTY, ENGAGEMENT
from recsys.online_store import ShardState
from recsys.online_store.operations import Bound, HashFloats, Operation, Read, ReadFloats, SortedSetMark
from stream.engagement.projections.events import Events


class Engagement:
    """Learner → course → stored sum; every learner it changes is marked for refresh.

    Args:
        decay: Of the sums.
        max_courses: Courses kept per learner; the lowest sums are evicted, a quarter more are put up with (`Bound`).
    """

    def __init__(self, decay: ForwardDecay, max_courses: int) -> None:
        self._per_ms, self._bound = decay.per_ms, Bound(max_courses)

    def reads(self, events: Events) -> Sequence[Read]:
        """The sums of the courses touched."""
        return [ReadFloats(ENGAGEMENT, events.touched)]

    def fold(self, events: Events, state: ShardState) -> Sequence[Operation]:
        """Adds `w · 2^((t − L)/h)` for each event."""
        stored, per_ms = state.floats[ENGAGEMENT], self._per_ms
        changed: dict[str, dict[str, float]] = {}
        for event, weight in zip(events.events, events.weights, strict=True):
            user, course = event.user_id, event.course_id
            sums = changed.get(user)
            if sums is None:
                sums = changed[user] = {}
            before = sums[course] if course in sums else stored[user][course]
            sums[course] = before + weight * exp2((event.timestamp - LANDMARK_MS) * per_ms)
        return [HashFloats(ENGAGEMENT, changed, self._bound, indexed=True), SortedSetMark(DIRTY, changed)]
