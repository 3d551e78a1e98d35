"""How the prequential monitor judges."""

from __future__ import annotations

from pydantic import Field

from recsys.settings.section import Name, Section


class MonitorSettings(Section):
    """The prequential monitor."""

    monitor_consumer_group: Name = Field(
        default="recsys-monitor", description="Consumer group of `recsys monitor`; its lag shows how far it is."
    )
    monitor_metrics_port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="Port of the monitor's `/metrics` and `/healthz`, on `RECSYS_WORKER_METRICS_HOST`; 0 is off.",
    )
    monitor_share: float = Field(
        default=0.1,
        gt=0,
        le=1,
        description="Share of learners whose events are judged; each takes a ranking. Popularity counts everybody's.",
    )
    monitor_history_hours: float = Field(
        default=72.0,
        ge=0,
        le=87_600,
        description="How far back the monitor reads when it starts, to warm popularity (its half-life is a day).",
    )
