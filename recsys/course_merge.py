"""One course from several sources: field by field, the first source that says something wins.

No source knows all of a course: an event bus has its dates and no text, a catalogue its text and no learning path.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import TypeVar

import msgspec

from recsys.catalog import Course, PathPosition, Run

_Part = TypeVar("_Part", Course, Run, PathPosition)
_Listed = TypeVar("_Listed", Run, PathPosition)


def merge_courses(sources: Iterable[Course]) -> dict[str, Course]:
    """Course id → the course, merged over all the values that name it, in order of first appearance.

    Args:
        sources: Courses of all sources, those of the source that is believed most first.
    """
    merged: dict[str, Course] = {}
    for course in sources:
        earlier = merged.get(course.course_id)
        merged[course.course_id] = course if earlier is None else merge(earlier, course)
    return {course_id: _closed_is_retired(course) for course_id, course in merged.items()}


def merge(first: Course, second: Course) -> Course:
    """Two descriptions of one course: each field from the first, and from the second where the first has none.

    Runs and paths are joined by their ids, a run field by field. A course that either retires is retired.
    """
    return msgspec.structs.replace(
        _filled(first, second),
        runs=_joined(first.runs, second.runs, "run_id"),
        paths=_joined(first.paths, second.paths, "path_id"),
        retired=first.retired or second.retired,
    )


def _filled(first: _Part, second: _Part) -> _Part:
    """The first with the fields of the second in place of those that have their default."""
    absent = {
        field.name: getattr(second, field.name)
        for field in msgspec.structs.fields(first)
        if not field.required and getattr(first, field.name) == field.default
    }
    return msgspec.structs.replace(first, **absent)


def _joined(first: tuple[_Listed, ...], second: tuple[_Listed, ...], key: str) -> tuple[_Listed, ...]:
    joined: dict[str, _Listed] = {}
    for part in chain(first, second):
        known = joined.get(getattr(part, key))
        joined[getattr(part, key)] = part if known is None else _filled(known, part)
    return tuple(joined.values())


def _closed_is_retired(course: Course) -> Course:
    """A course none of whose runs a learner could find and enter is not recommended."""
    closed = bool(course.runs) and all(run.hidden or run.invitation_only for run in course.runs)
    return msgspec.structs.replace(course, retired=True) if closed else course
