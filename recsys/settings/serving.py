"""How the API answers."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from recsys.settings.section import Folder, Name, NestedNumbers, Section

SHARE_TOLERANCE = 1e-6


class ServingSettings(Section):
    """The HTTP API."""

    serving_host: Name = Field(
        default="127.0.0.1", description="Address the API binds; loopback unless told otherwise."
    )
    serving_port: int = Field(default=8080, ge=0, le=65535, description="Port the API binds; 0 picks a free one.")
    serving_redis_timeout_ms: int = Field(
        default=50, ge=1, le=5000, description="Connect and read time-out of the API towards Redis; no retries."
    )
    serving_default_n: int = Field(default=10, ge=1, le=50, description="Recommendations when `n` is not given.")
    serving_cache_seconds: float = Field(
        default=300.0, gt=0, description="How long the API serves a list it last read, while Redis does not answer."
    )
    serving_produce_timeout_ms: int = Field(
        default=2000, ge=1, le=60_000, description="Longest wait of `POST /v1/events` for Kafka's acknowledgement."
    )
    serving_state_dir: Folder = Field(
        default=Path("var/serving"), description="Where the API keeps its trending snapshot for Redis outages."
    )
    experiments: NestedNumbers = Field(
        default_factory=dict,
        description='A/B experiments as JSON: {"name": {"variant": share, …}}; shares of one experiment sum to 1.',
    )

    @model_validator(mode="after")
    def _shares_of_an_experiment_sum_to_one(self) -> ServingSettings:
        for name, shares in self.experiments.items():
            if not shares or abs(sum(shares.values()) - 1.0) > SHARE_TOLERANCE or min(shares.values()) < 0:
                raise ValueError(f"expected the shares of experiment {name!r} to sum to 1, received {shares}")
        return self
