"""What the courses of a catalogue ask for first; an id that names no course binds nobody, and is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from recsys.catalog import Course


def unknown_prerequisites(courses: Iterable[Course]) -> Counter[str]:
    """Prerequisites that name no course of the catalogue, with how many courses ask for each.

    They bind nobody: a course stays recommendable whatever it asks for.
    """
    catalogue = {course.course_id: course for course in courses}
    return Counter(
        wanted for course in catalogue.values() for wanted in set(course.prerequisites) if wanted not in catalogue
    )


def prerequisite_remarks(courses: Iterable[Course]) -> list[str]:
    """A line where prerequisites name no course of the catalogue; none where all are known."""
    unknown = unknown_prerequisites(courses)
    if not unknown:
        return []
    example, count = min(unknown.items(), key=lambda item: (-item[1], item[0]))
    said = f"{len(unknown)} prerequisites name no course of it and bind nobody, such as {example[:40]!r}"
    return [f"catalogue: {said} (asked for by {count})"]
