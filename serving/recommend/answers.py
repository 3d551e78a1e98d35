"""The bodies of the answers are msgspec structs, from which the OpenAPI document takes their schemas."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec


class Source(StrEnum):
    """The rung of the ladder that answered, best first."""

    CACHED = "cached"
    """The learner's cached top-N in Redis."""
    PROCESS_CACHE = "process-cache"
    """The same list as this process last saw it, because Redis does not answer."""
    MODEL = "model"
    """Ranked now from the loaded bundle."""
    TRENDING = "trending"
    """Trending as Redis holds it."""
    SNAPSHOT = "snapshot"
    """Trending as this host last saw it, from disk."""


class Recommendation(msgspec.Struct, frozen=True, gc=False):
    """One course.

    Attributes:
        course_id: The course.
        title: Its name; "" only while no catalogue could be loaded.
        score: Comparable within one answer only; non-increasing.
        category: Subject area, "" where unknown.
        level: Such as "Beginner"; "" where unknown.
        language: Language of instruction, "" where unknown.
    """

    course_id: str
    title: str
    score: float
    category: str = ""
    level: str = ""
    language: str = ""


class Recommendations(msgspec.Struct, frozen=True, kw_only=True):
    """The answer for one learner.

    Attributes:
        user_id: Whom it is for.
        recommendations: Best first.
        model_version: The bundle that ranked them; null for trending.
        computed_at: When they were ranked.
        age_seconds: How long ago that was.
        source: The rung that answered.
        variants: Experiment → the variant this learner is in.
    """

    user_id: str
    recommendations: list[Recommendation]
    model_version: str | None
    computed_at: datetime
    age_seconds: float
    source: Source
    variants: dict[str, str]


class TrendingCourses(msgspec.Struct, frozen=True, kw_only=True):
    """What everybody engages with.

    Attributes:
        courses: Best first.
        model_version: Set only when no trending exists yet and the bundle's ranking for an unknown learner stands in.
        computed_at: When they were ranked.
        age_seconds: How long ago that was.
        source: `trending`, `snapshot` or `model`.
    """

    courses: list[Recommendation]
    model_version: str | None
    computed_at: datetime
    age_seconds: float
    source: Source


class Accepted(msgspec.Struct, frozen=True):
    """How many events the brokers acknowledged."""

    accepted: int
