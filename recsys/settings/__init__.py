"""Settings from the environment (prefix `RECSYS_`); `docs/settings.md` is generated from the descriptions here.

Service addresses keep the names every deployment knows: `KAFKA_BOOTSTRAP_SERVERS` and `REDIS_URL`.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import AliasChoices, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from recsys.engagement import DEFAULT_WEIGHTS, MIN_HALF_LIFE_DAYS, EngagementWeights, ForwardDecay
from recsys.errors import ConfigurationError

SHARE_TOLERANCE = 1e-6


class Settings(BaseSettings):
    """Every setting of every room, validated once at start and then passed as an argument."""

    model_config = SettingsConfigDict(env_prefix="RECSYS_", frozen=True, extra="forbid", populate_by_name=True)

    kafka_bootstrap_servers: str = Field(
        default="127.0.0.1:9092",
        validation_alias=AliasChoices("KAFKA_BOOTSTRAP_SERVERS", "kafka_bootstrap_servers"),
        description="Kafka brokers, host:port separated by commas.",
    )
    kafka_api_version: str = Field(
        default="auto",
        description="`auto`, or a pinned protocol version such as `2.3`; the embedded broker needs it pinned.",
    )
    redis_url: str = Field(
        default="redis://127.0.0.1:6379/0",
        validation_alias=AliasChoices("REDIS_URL", "redis_url"),
        description="Redis address, redis://[:password@]host:port/db.",
    )
    interactions_topic: str = Field(default="interactions", description="Topic of learners' events, keyed by user_id.")
    dead_letter_topic: str = Field(default="interactions.dlq", description="Topic of refused records.")
    courses_topic: str = Field(default="courses", description="Compacted topic of the catalogue, keyed by course_id.")
    exposures_topic: str = Field(default="exposures", description="Topic of what was shown to whom, keyed by user_id.")
    consumer_group: str = Field(
        default="recsys-engagement",
        description="Consumer group of the engagement workers; it names the fence in Redis.",
    )

    engagement_half_life_days: float = Field(
        default=30.0,
        ge=MIN_HALF_LIFE_DAYS,
        description="Days after which an event counts half in the engagement score; changing it needs a rebuild.",
    )
    engagement_weights: dict[str, float] = Field(
        default=dict(DEFAULT_WEIGHTS),
        description="Weight of each event type, as JSON; types left out keep their default.",
    )
    engagement_max_courses: int = Field(
        default=2000,
        ge=10,
        description="Courses kept per learner; above it the lowest engagement is evicted (decision 0004).",
    )
    trending_half_life_days: float = Field(
        default=10.0, ge=MIN_HALF_LIFE_DAYS, description="Days after which an event counts half in trending."
    )
    trending_size: int = Field(default=100, ge=1, le=1000, description="Courses kept in the merged trending list.")
    dedupe_window_hours: float = Field(
        default=24.0,
        gt=0,
        le=24 * 30,
        description="A repeated event_id of a learner changes nothing for at least this long (at most twice this).",
    )

    worker_max_poll_records: int = Field(
        default=3000, ge=1, le=5000, description="Most records fetched at once; bounds one commit."
    )
    worker_metrics_port: int = Field(
        default=0, ge=0, le=65535, description="Port of the worker's Prometheus metrics on loopback; 0 is off."
    )
    worker_stall_seconds: float = Field(
        default=60.0, gt=0, description="A worker with records to read and no progress for this long ends itself."
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
        description="Latest records of a partition that the dead-letter stop rule looks at.",
    )
    dead_letter_stop_share: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="A partition whose latest records are refused more often than this stops until `recsys resume`; "
        "1 never stops.",
    )
    refresh_top_n: int = Field(default=50, ge=1, le=500, description="Courses in a cached top-N.")
    refresh_backlog_seconds: float = Field(
        default=5.0, ge=0, description="While a worker catches up, cached lists are refreshed at least this often."
    )
    top_ttl_days: float = Field(default=30.0, gt=0, description="Days an untouched cached top-N stays in Redis.")

    models_dir: Path = Field(default=Path("var/models"), description="Folder of the model bundles.")
    reports_dir: Path = Field(default=Path("reports"), description="Folder of the retrain and evaluation reports.")
    model_poll_seconds: float = Field(
        default=1.0, gt=0, description="How often workers and the API look for a newly published model."
    )

    serving_host: str = Field(default="127.0.0.1", description="Address the API binds; loopback unless told otherwise.")
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
    serving_state_dir: Path = Field(
        default=Path("var/serving"), description="Where the API keeps its trending snapshot for Redis outages."
    )
    experiments: dict[str, dict[str, float]] = Field(
        default_factory=dict,
        description='A/B experiments as JSON: {"name": {"variant": share, …}}; shares of one experiment sum to 1.',
    )

    log_level: str = Field(default="info", description="debug, info, warning or error.")
    log_format: str = Field(default="console", description="`console` for people, `json` for log collectors.")
    seed: int = Field(default=0, description="Seed of everything random: negatives, initial weights, simulator.")

    @field_validator("engagement_weights")
    @classmethod
    def _fill_weights(cls, given: dict[str, float]) -> dict[str, float]:
        return {**DEFAULT_WEIGHTS, **given}

    @model_validator(mode="after")
    def _derived_values_can_be_built(self) -> Settings:
        try:
            _ = self.weights, self.decay, self.trending_decay
        except ConfigurationError as error:
            raise ValueError(str(error)) from None
        for name, shares in self.experiments.items():
            if not shares or abs(sum(shares.values()) - 1.0) > SHARE_TOLERANCE or min(shares.values()) < 0:
                raise ValueError(f"expected the shares of experiment {name!r} to sum to 1, received {shares}")
        return self

    @property
    def weights(self) -> EngagementWeights:
        """The event-type weights."""
        return EngagementWeights(self.engagement_weights)

    @property
    def decay(self) -> ForwardDecay:
        """The decay of engagement scores."""
        return ForwardDecay(self.engagement_half_life_days)

    @property
    def trending_decay(self) -> ForwardDecay:
        """The decay of trending."""
        return ForwardDecay(self.trending_half_life_days)

    @property
    def kafka_api_version_tuple(self) -> tuple[int, ...] | None:
        """The pinned protocol version as kafka-python takes it; None to probe."""
        if self.kafka_api_version == "auto":
            return None
        return tuple(int(part) for part in self.kafka_api_version.split("."))


def load_settings(**overrides: object) -> Settings:
    """Reads the environment.

    Raises:
        ConfigurationError: One line naming each setting that cannot be, what was expected and what was received.
    """
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        lines = [
            f"{_environment_name(item['loc'])}: {item['msg']}, received {str(item['input'])[:80]!r}"
            for item in error.errors()
        ]
        raise ConfigurationError("; ".join(lines)) from None


def _environment_name(location: tuple[int | str, ...]) -> str:
    name = str(location[0]) if location else "settings"
    if name.isupper():
        return name
    return {"kafka_bootstrap_servers": "KAFKA_BOOTSTRAP_SERVERS", "redis_url": "REDIS_URL"}.get(
        name, f"RECSYS_{name.upper()}"
    )
