"""How cached lists are kept current."""

from __future__ import annotations

from pydantic import Field

from recsys.settings.section import Section


class RefreshSettings(Section):
    """The refresh of cached top-N lists."""

    refresh_top_n: int = Field(default=50, ge=1, le=500, description="Courses in a cached top-N.")
    refresh_backlog_seconds: float = Field(
        default=5.0,
        ge=0,
        le=86_400,
        description="While a worker catches up, cached lists are refreshed at least this often.",
    )
    refresh_renewals_per_second: float = Field(
        default=100.0,
        gt=0,
        le=10_000,
        description="After an increment: lists a second that a worker has ranked anew though the learner did nothing. "
        "100 take a tenth of a core at most, as a ranking takes up to a millisecond.",
    )
    top_ttl_days: float = Field(
        default=30.0, ge=1e-3, le=36_500, description="Days an untouched cached top-N stays in Redis."
    )
