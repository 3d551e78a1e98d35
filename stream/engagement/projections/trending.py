"""Trending: this shard's part of what is popular now, the sum of `RecordRules.trend` over all its records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from recsys.errors import UnreadableState
from recsys.keys import TREND
from recsys.online_store import ShardState
from recsys.online_store.operations import SHARD_ITSELF, DeleteFields, Operation, PutValues, Read, ReadValues
from recsys.record.sums import change_sum
from stream.engagement.projections.events import Events


class TrendingSums:
    """Course → compensated sum over the records of the shard's learners.

    Each change of a record takes its part of before out and puts that of now in, so what an event, an opposite, an
    erasure, a merge or an eviction does is exact, and a course that no record has a part in is not there. Courses that
    no catalogue knows are summed up as well, so that they trend once one does. There are as many as records name.
    """

    def reads(self, events: Events) -> Sequence[Read]:
        """The sums of the courses touched."""
        courses = {course: None for courses in events.touched.values() for course in courses}
        return [ReadValues(TREND, {SHARD_ITSELF: courses})] if courses else []

    def fold(self, events: Events, state: ShardState) -> Sequence[Operation]:
        """Adds what the records changed by."""
        terms: dict[str, list[float]] = {}
        for change in events.changes.pairs:
            course, before, after = change.course, change.trend_before, change.trend
            if before == after:
                continue
            of_course = terms.get(course)
            if of_course is None:
                of_course = terms[course] = []
            if before:
                of_course.append(-before)
            if after:
                of_course.append(after)
        written, emptied = _written(state, terms)
        return [
            DeleteFields(TREND, {SHARD_ITSELF: emptied} if emptied else {}),
            PutValues(TREND, {SHARD_ITSELF: written} if written else {}),
        ]


def _written(state: ShardState, terms: Mapping[str, list[float]]) -> tuple[dict[str, bytes], list[str]]:
    """The sums that changed, and the courses that no record has a part in any more."""
    stored = state.values[TREND][SHARD_ITSELF] if terms else {}
    written: dict[str, bytes] = {}
    emptied: list[str] = []
    try:
        for course, of_course in terms.items():
            changed = change_sum(stored[course], of_course)
            if changed is None:
                emptied.append(course)
            else:
                written[course] = changed
    except ValueError:
        raise UnreadableState(state.key(TREND), "holds a value that is no sum") from None
    return written, emptied


def more_reads_of_sums(state: ShardState, learners: str) -> list[Read]:
    """The sums of all courses of learners who were read as a whole, unless they were read before."""
    known = state.values.get(TREND, {}).get(SHARD_ITSELF, {})
    courses = {course: None for hashed in state.whole.get(learners, {}).values() for course in hashed}
    missing = [course for course in courses if course not in known]
    return [ReadValues(TREND, {SHARD_ITSELF: missing})] if missing else []
