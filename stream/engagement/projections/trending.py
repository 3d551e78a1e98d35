"""Trending: this shard's part of what is popular now, positive contributions only."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from math import exp2

from recsys.engagement import LANDMARK_MS, ForwardDecay
from recsys.keys import TREND
from recsys.online_store import ShardState
from recsys.online_store.operations import SHARD_ITSELF, Bound, HashFloats, Operation, Read, ReadFloats
from stream.engagement.projections.events import Events

TREND_SIZE = 10_000
"""Courses kept a shard; a quarter more are put up with between two evictions."""


class TrendingSums:
    """Course → stored sum over all learners of the shard.

    Courses that no catalogue knows are summed up as well, so that they trend once it does; when room is short they are
    the first to go, so that made-up ids cannot push real courses out.

    Args:
        decay: Of the sums.
        catalogue: The courses known right now; None while no catalogue is.
    """

    def __init__(self, decay: ForwardDecay, catalogue: Callable[[], Container[str] | None]) -> None:
        self._per_ms, self._catalogue = decay.per_ms, catalogue
        self._bound = Bound(TREND_SIZE, spared=self._is_known)

    def _is_known(self, course: str) -> bool:
        known = self._catalogue()
        return known is None or course in known

    def reads(self, events: Events) -> Sequence[Read]:
        """The sums of the courses touched."""
        return [ReadFloats(TREND, {SHARD_ITSELF: dict.fromkeys([event.course_id for event in events.events])})]

    def fold(self, events: Events, state: ShardState) -> Sequence[Operation]:
        """Adds `w · 2^((t − L)/h)` for each event of positive weight."""
        stored, per_ms = state.floats[TREND][SHARD_ITSELF], self._per_ms
        changed: dict[str, float] = {}
        for event, weight in zip(events.events, events.weights, strict=True):
            if weight > 0:
                course = event.course_id
                before = changed[course] if course in changed else stored[course]
                changed[course] = before + weight * exp2((event.timestamp - LANDMARK_MS) * per_ms)
        return [HashFloats(TREND, {SHARD_ITSELF: changed}, self._bound)] if changed else []
