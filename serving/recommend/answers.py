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
        partition: The Kafka partition of the learner's events; null where it is not known, and for a learner who was
            merged into another.
        included_offset: Every event of that partition up to and including this offset is in the state that the answer
            was ranked from; null where that is not known, and for trending.
        fresh: Whether the answer contains the event that was asked for; null where none was.
    """

    user_id: str
    recommendations: list[Recommendation]
    model_version: str | None
    computed_at: datetime
    age_seconds: float
    source: Source
    variants: dict[str, str]
    partition: int | None = None
    included_offset: int | None = None
    fresh: bool | None = None


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


class StoredEvent(msgspec.Struct, frozen=True):
    """Where the brokers acknowledged an event.

    Attributes:
        partition: Of the interactions topic.
        offset: In the partition; null where the broker only said that it had the event already.
    """

    partition: int
    offset: int | None


class Accepted(msgspec.Struct, frozen=True):
    """What the brokers acknowledged.

    Attributes:
        accepted: How many events.
        events: Where each of them is, in the order in which they were sent.
    """

    accepted: int
    events: list[StoredEvent]
