"""A ranked list of ids becomes the courses of an answer by the filters that hold on every rung. Pure functions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from recsys.catalog import Course
from serving.recommend.answers import Recommendation, Source
from serving.recommend.query import Attributes


@dataclass(frozen=True, slots=True)
class Ranking:
    """A ranked list, before filters.

    Attributes:
        source: The rung it is from.
        model_version: The bundle that ranked it; None for trending.
        computed_at_ms: When, ms since 1970 UTC.
        course_ids: Best first.
        scores: Aligned, non-increasing.
        included_offset: Of the learner's partition, as in the answer; None where that is not known.
    """

    source: Source
    model_version: str | None
    computed_at_ms: int
    course_ids: Sequence[str]
    scores: Sequence[float]
    included_offset: int | None = None


@dataclass(frozen=True, slots=True)
class Picked:
    """A ranking and what the filters left of it."""

    ranking: Ranking
    courses: list[Recommendation]


def pick(
    ranking: Ranking,
    *,
    n: int,
    exclude: Collection[str],
    attributes: Attributes,
    catalogue: Mapping[str, Course] | None,
) -> Picked | None:
    """The first `n` courses that pass every filter, with their titles.

    Args:
        ranking: The list.
        n: Most courses.
        exclude: Courses never returned.
        attributes: What a course must be.
        catalogue: Courses by id: an id outside it is dropped, and so is a retired course. None when no catalogue is
            known: then titles are empty.

    Returns:
        None when the filters cannot be checked for want of a catalogue.
    """
    if catalogue is None:
        if attributes.given():
            return None
        catalogue = {course_id: Course(course_id=course_id, title="") for course_id in ranking.course_ids}
    any_attributes = bool(attributes.given())
    picked: list[Recommendation] = []
    for course_id, score in zip(ranking.course_ids, ranking.scores, strict=True):
        if len(picked) == n:
            break
        course = catalogue.get(course_id)
        if course is None or course.retired or course_id in exclude:
            continue
        if any_attributes and not attributes.admits(course):
            continue
        picked.append(Recommendation(course_id, course.title, score, course.category, course.level, course.language))
    return Picked(ranking, picked)
