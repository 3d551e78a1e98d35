"""Sums over a course: this shard's part of trending, and of the activity that the ranker's course features are made of.

Both are in one value, because they change together: read and written once, a second sum costs a store next to nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from recsys.errors import UnreadableState
from recsys.keys import TREND
from recsys.model.course_activity import added, packed, unpacked
from recsys.online_store import ShardState
from recsys.online_store.operations import SHARD_ITSELF, DeleteFields, Operation, PutValues, Read, ReadValues
from recsys.record.sums import SUM_BYTES, change_sum
from stream.engagement.projections.activity import is_touch_alone, terms_of
from stream.engagement.projections.events import Events
from stream.engagement.record_changes import Change


class CourseSums:
    """Course → compensated sum of trending (`recsys.record.sums`) and packed activity (`recsys.model.course_activity`).

    Each change of a record takes its part of before out and puts that of now in, so what an event, an opposite, an
    erasure, a merge or an eviction does is exact, and a course that no record has a part in is not there. Courses that
    no catalogue knows are summed up as well, so that they trend once one does. There are as many as records name.
    """

    def reads(self, events: Events) -> Sequence[Read]:
        """The sums of the courses touched."""
        return [ReadValues(TREND, {SHARD_ITSELF: events.courses})] if events.courses else []

    def fold(self, events: Events, state: ShardState) -> Sequence[Operation]:
        """Adds what the records changed by."""
        pairs = events.changes.pairs
        trends = _trends(pairs)
        if not trends:
            return []
        stored = state.values[TREND][SHARD_ITSELF]
        numbers = {course: number for number, course in enumerate(trends)}
        written: dict[str, bytes] = {}
        emptied: list[str] = []
        try:
            values = [stored[course] for course in trends]
            activity = unpacked([value and value[SUM_BYTES:] for value in values])
            after = packed(added(activity, terms_of(pairs, numbers, events.rules)))
            for (course, terms), value, vector in zip(trends.items(), values, after, strict=True):
                total = change_sum(value, terms)
                if total is None:
                    emptied.append(course)
                else:
                    written[course] = total + vector
        except ValueError:
            raise UnreadableState(state.key(TREND), "holds a value that is none of a course's sums") from None
        return [
            DeleteFields(TREND, {SHARD_ITSELF: emptied} if emptied else {}),
            PutValues(TREND, {SHARD_ITSELF: written} if written else {}),
        ]


def _trends(pairs: Sequence[Change]) -> Mapping[str, list[float]]:
    """Course → the parts of trending that joined, and the negative of those that left, if there are any."""
    trends: dict[str, list[float]] = {}
    for change in pairs:
        before, after = change.trend_before, change.trend
        if before == after and is_touch_alone(change):
            continue
        of_course = trends.get(change.course)
        if of_course is None:
            of_course = trends[change.course] = []
        if before:
            of_course.append(-before)
        if after:
            of_course.append(after)
    return trends
