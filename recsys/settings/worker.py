"""How an engagement worker reads, retries, stops and reports."""

from __future__ import annotations

from pydantic import Field

from recsys.settings.section import Name, Section


class WorkerSettings(Section):
    """The engagement worker."""

    worker_max_poll_records: int = Field(
        default=3000, ge=1, le=5000, description="Most records fetched at once; bounds one commit."
    )
    worker_metrics_host: Name = Field(
        default="127.0.0.1",
        description="Address where the worker serves `/metrics` and `/healthz`; loopback unless told otherwise.",
    )
    worker_metrics_port: int = Field(
        default=0, ge=0, le=65535, description="Port of the worker's `/metrics` and `/healthz`; 0 is off."
    )
    worker_session_timeout_seconds: float = Field(
        default=15.0,
        ge=1,
        le=30,
        description="A worker that Kafka hears nothing of for this long loses its partitions to others; brokers refuse "
        "less than their `group.min.session.timeout.ms`, 6 s by default.",
    )
    worker_stall_seconds: float = Field(
        default=60.0,
        ge=1e-3,
        le=86_400,
        description="A worker with records to read and no progress for this long ends itself.",
    )
    worker_topic_check_seconds: float = Field(
        default=5.0,
        ge=1e-3,
        le=86_400,
        description="How often a worker checks that the interactions topic is the one it was, and still stamps records "
        "with their arrival.",
    )
    retry_seconds: float = Field(
        default=20.0,
        gt=0,
        le=50,
        description="How long a worker retries Redis or the dead-letter topic before it ends without acknowledging.",
    )
    dead_letter_stop_records: int = Field(
        default=1000,
        ge=10,
        le=1_000_000,
        description="Latest records of a partition that the dead-letter stop rule looks at.",
    )
    dead_letter_stop_share: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="A partition whose latest records are refused more often than this stops until `recsys resume`; "
        "1 never stops.",
    )
