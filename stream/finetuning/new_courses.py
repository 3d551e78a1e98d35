"""Courses that came after the parent: which of them have rows in the increment, from when and until when. Pure.

A course that the parent does not know is placed by its text (`recsys.model.placed_courses`) and learned like any other
from the moment it is admitted: when enough trusted events of enough learners liked it. Its row goes when nobody touched
it for long, or when the catalogue retires it. All tables are bounded.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from recsys.catalog import Course
from recsys.engagement import MS_PER_DAY

_NOT_HELD = object()


@dataclass(frozen=True, slots=True)
class NewCourseRules:
    """When a new course has a row.

    Attributes:
        rows: Most rows at a time; 0 for none at all.
        events: Trusted events that like a course before it is admitted.
        learners: Different learners that they must be of.
        days: A row that nobody liked for so many days goes, by the time of events.
        watched: Courses whose events are counted; those liked once are forgotten first, and of them the one liked
            longest ago.
        offered: Courses of the catalogue whose text is kept, the last that changed.
    """

    rows: int = 100
    events: int = 20
    learners: int = 10
    days: float = 7.0
    watched: int = 1000
    offered: int = 5000


class OfferedCourses:
    """What the catalogue said last, of a bounded number of courses; it is not in the checkpoint but read anew.

    Args:
        most: Courses held; those that changed longest ago are forgotten.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._states: dict[str, Course | None] = {}

    def __len__(self) -> int:
        return len(self._states)

    def add(self, changes: Iterable[tuple[str, Course | None]]) -> None:
        """Takes the newest state of courses; None is one that is retired."""
        for course_id, state in changes:
            self._states.pop(course_id, None)
            self._states[course_id] = state
            if len(self._states) > self._most:
                del self._states[next(iter(self._states))]

    def get(self, course_id: str) -> Course | None:
        """A course that is offered; None for one that is retired or not held."""
        return self._states.get(course_id)

    def is_retired(self, course_id: str) -> bool:
        """Whether the newest state is that it is retired; not of a course that is not held."""
        return self._states.get(course_id, _NOT_HELD) is None

    def retired_of(self, known: Collection[str], before: Collection[str]) -> frozenset[str]:
        """Which of some courses are retired, of which `before` were; of what is not held that stays."""
        gone = {course_id for course_id, state in self._states.items() if state is None and course_id in known}
        return frozenset(gone | {course_id for course_id in before if self.get(course_id) is None})


class _Watched:
    """Events of one course that is not admitted."""

    __slots__ = ("events", "learners")

    def __init__(self, events: int = 0, learners: Iterable[str] = ()) -> None:
        self.events, self.learners = events, set(learners)


class NewCourses:
    """Of one parent.

    Args:
        rules: When a course has a row.
        known: The parent's courses.

    Attributes:
        admitted: Course id → the course as it was placed, in the order of rows.
        retired: Courses of the parent that the catalogue retired since.
    """

    def __init__(self, rules: NewCourseRules, known: Collection[str]) -> None:
        self._rules, self._known = rules, frozenset(known)
        self.admitted: dict[str, Course] = {}
        self.retired: frozenset[str] = frozenset()
        self._liked_ms: dict[str, int] = {}
        self._watched: dict[str, _Watched] = {}

    @property
    def watched(self) -> int:
        """Courses whose events are counted."""
        return len(self._watched)

    def saw(self, course_id: str, user: str, at_ms: int) -> None:
        """A trusted event liked a course; one of the parent's is passed over.

        Args:
            course_id: The course.
            user: The learner.
            at_ms: Event time, ms since 1970 UTC.
        """
        if course_id in self._known or not self._rules.rows:
            return
        if course_id in self.admitted:
            self._liked_ms[course_id] = max(at_ms, self._liked_ms[course_id])
            return
        watched = self._watched.pop(course_id, None) or _Watched()
        self._watched[course_id] = watched  # now the last to be forgotten
        watched.events = min(watched.events + 1, self._rules.events)
        if len(watched.learners) < self._rules.learners:
            watched.learners.add(user)
        if len(self._watched) > self._rules.watched:
            del self._watched[self._least_watched(course_id)]

    def _least_watched(self, newest: str) -> str:
        """Of those liked once, or else of all, the one liked longest ago: made-up ids displace no course with likes."""
        once = (each for each, watched in self._watched.items() if watched.events == 1 and each != newest)
        return next(once, next(iter(self._watched)))

    def forget(self, user: str) -> None:
        """Drops a learner; the courses that they liked need another one."""
        for watched in self._watched.values():
            watched.learners.discard(user)

    def take_over(self, offered: OfferedCourses, now_ms: int) -> bool:
        """Lets rows go and come, by what the catalogue says now.

        Args:
            offered: The catalogue.
            now_ms: Now by event time, ms since 1970 UTC.

        Returns:
            Whether anything changed.
        """
        gone = self._gone(offered, now_ms)
        came = self._coming(offered, len(gone))
        for course_id in gone:
            del self.admitted[course_id], self._liked_ms[course_id]
        for course_id, course in came:
            self.admitted[course_id], self._liked_ms[course_id] = course, now_ms
            del self._watched[course_id]
        retired, self.retired = self.retired, offered.retired_of(self._known, self.retired)
        return bool(gone or came or retired != self.retired)

    def would_change(self, offered: OfferedCourses, now_ms: int) -> bool:
        """Whether `take_over` has something to do."""
        gone, retired = self._gone(offered, now_ms), offered.retired_of(self._known, self.retired)
        return bool(gone or self._coming(offered, 0) or retired != self.retired)

    def _gone(self, offered: OfferedCourses, now_ms: int) -> set[str]:
        oldest_ms = now_ms - self._rules.days * MS_PER_DAY
        gone = {each for each, at_ms in self._liked_ms.items() if at_ms < oldest_ms or offered.is_retired(each)}
        gone.update([each for each in self.admitted if each not in gone][self._rules.rows :])  # the limit was lowered
        return gone

    def _coming(self, offered: OfferedCourses, gone: int) -> list[tuple[str, Course]]:
        """Those that are due, as many as there are rows once so many went."""
        due = [(each, offered.get(each)) for each, watched in self._watched.items() if self._is_due(watched)]
        room = max(0, self._rules.rows - len(self.admitted) + gone)
        return [(each, course) for each, course in due if course is not None][:room]

    def _is_due(self, watched: _Watched) -> bool:
        return watched.events >= self._rules.events and len(watched.learners) >= self._rules.learners

    def state(self) -> Mapping[str, Any]:
        """For the checkpoint."""
        return {
            "admitted": [(msgspec.to_builtins(course), self._liked_ms[each]) for each, course in self.admitted.items()],
            "retired": sorted(self.retired),
            "watched": [(each, of.events, sorted(of.learners)) for each, of in self._watched.items()],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """From the checkpoint of a line with this parent.

        What was learned by row is in it, too, so all rows are kept; those above a lowered limit go with `take_over`.
        """
        admitted = [(msgspec.convert(course, Course), at_ms) for course, at_ms in state["admitted"]]
        self._admit(admitted)
        self.retired = frozenset(state["retired"]) & self._known
        self._watched = {
            each: _Watched(events, learners)
            for each, events, learners in state["watched"]
            if each not in self._known and self._rules.rows
        }

    def go_on_from(self, state: Mapping[str, Any]) -> None:
        """From a line with another parent: what this one knows needs no row of its own."""
        self.restore(state)
        kept = [(course, self._liked_ms[each]) for each, course in self.admitted.items() if each not in self._known]
        self._admit(kept[: self._rules.rows])

    def _admit(self, courses: Sequence[tuple[Course, int]]) -> None:
        """These have rows and no others; with when each was liked last."""
        self.admitted = {course.course_id: course for course, _ in courses}
        self._liked_ms = {course.course_id: at_ms for course, at_ms in courses}
