"""What the speed layer's arithmetic depends on: weights, half-lives, limits."""

from __future__ import annotations

from pydantic import Field, field_validator

from recsys.engagement import MIN_HALF_LIFE_DAYS, MS_PER_DAY, EngagementWeights, ForwardDecay
from recsys.events import DONE_PROGRESS
from recsys.exclusion import Exclusion
from recsys.record import RecordRules
from recsys.settings.section import Numbers, Section
from recsys.vocabulary import DEFAULT_WEIGHTS

MAX_HALF_LIFE_DAYS = 36_500.0
"""A century: beyond it nothing decays, which is no half-life but a mistyped one."""

MAX_WEIGHT = 1e6
"""Sums of weights stay far below where a double loses an event."""


class EngagementSettings(Section):
    """Engagement scores and trending."""

    engagement_half_life_days: float = Field(
        default=30.0,
        ge=MIN_HALF_LIFE_DAYS,
        le=MAX_HALF_LIFE_DAYS,
        description="Days after which an event counts half in the engagement score; changing it needs a rebuild.",
    )
    engagement_weights: Numbers = Field(
        default=dict(DEFAULT_WEIGHTS),
        description="Weight of each event type, as JSON; types left out keep their default.",
    )
    engagement_max_courses: int = Field(
        default=2000,
        ge=10,
        le=100_000,
        description="Courses kept per learner; a quarter above it the lowest go, those that may be recommended first.",
    )
    done_progress: float = Field(
        default=DONE_PROGRESS,
        gt=0,
        le=1,
        description="A `progress` of at least this completes a course; changing it needs a rebuild.",
    )
    engagement_bucket_hours: float = Field(
        default=24.0,
        ge=1 / 60,
        le=24 * 366,
        description="Views, clicks and plays of one course count once for each such span of event time; changing it "
        "needs a rebuild.",
    )
    give_back_days: float = Field(
        default=30.0,
        ge=0,
        le=36_500,
        description="Days after an `unenroll` in which the course is not recommended to that learner again.",
    )
    exclude_seen: bool = Field(
        default=True,
        description="Leave courses a learner has only seen out of answers, not only those they are done with; "
        "evaluation follows it (decision 8).",
    )
    trending_half_life_days: float = Field(
        default=10.0,
        ge=MIN_HALF_LIFE_DAYS,
        le=MAX_HALF_LIFE_DAYS,
        description="Days after which an event counts half in trending.",
    )
    trending_size: int = Field(default=100, ge=1, le=1000, description="Courses kept in the merged trending list.")

    @field_validator("engagement_weights")
    @classmethod
    def _fill_weights(cls, given: dict[str, float]) -> dict[str, float]:
        unknown = sorted(given.keys() - DEFAULT_WEIGHTS.keys())
        if unknown:
            raise ValueError(f"expected weights of {', '.join(DEFAULT_WEIGHTS)}, and {unknown[0]!r} is none of them")
        heavy = next((kind for kind, weight in given.items() if abs(weight) > MAX_WEIGHT), None)
        if heavy is not None:
            raise ValueError(
                f"expected weights from -{MAX_WEIGHT:g} to {MAX_WEIGHT:g}, and that of {heavy!r} is beyond"
            )
        return {**DEFAULT_WEIGHTS, **given}

    @property
    def weights(self) -> EngagementWeights:
        """The event-type weights."""
        return EngagementWeights(self.engagement_weights)

    @property
    def record_rules(self) -> RecordRules:
        """What an event makes of a learner–course record, and the record of its scores."""
        return RecordRules(
            weights=self.weights,
            decay=self.decay,
            trending_decay=self.trending_decay,
            bucket_ms=int(self.engagement_bucket_hours * 3_600_000),
            done_progress=self.done_progress,
            give_back_ms=int(self.give_back_days * MS_PER_DAY),
        )

    @property
    def exclusion(self) -> Exclusion:
        """What an answer leaves out."""
        return Exclusion(self.done_progress, self.exclude_seen)

    @property
    def decay(self) -> ForwardDecay:
        """The decay of engagement scores."""
        return ForwardDecay(self.engagement_half_life_days)

    @property
    def trending_decay(self) -> ForwardDecay:
        """The decay of trending."""
        return ForwardDecay(self.trending_half_life_days)
