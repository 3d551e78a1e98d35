"""Settings from the environment (prefix `RECSYS_`); `docs/settings.md` is generated from the descriptions here.

One section a package (`SECTIONS`), each a model of its own, and `Settings`, which is all of them: a function that needs
Kafka's takes `KafkaSettings` and is given `Settings`. Service addresses keep the names every deployment knows:
`KAFKA_BOOTSTRAP_SERVERS` and `REDIS_URL`. A value that is a secret may come from a file, `NAME_FILE`, and is in no
message, log or `repr`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from recsys.errors import ConfigurationError
from recsys.settings.adapters import AdapterSettings
from recsys.settings.engagement import EngagementSettings
from recsys.settings.environment import check_names, refusal, secrets_from_files
from recsys.settings.finetuning import FinetuningSettings
from recsys.settings.kafka import KafkaSettings
from recsys.settings.models import ModelSettings
from recsys.settings.monitor import MonitorSettings
from recsys.settings.process import ProcessSettings
from recsys.settings.redis import RedisAddress, RedisSettings
from recsys.settings.refresh import RefreshSettings
from recsys.settings.section import Section
from recsys.settings.serving import ServingSettings
from recsys.settings.worker import WorkerSettings

__all__ = ["SECTIONS", "KafkaSettings", "RedisAddress", "RedisSettings", "Settings", "load_settings"]

SECTIONS: tuple[type[Section], ...] = (
    KafkaSettings,
    RedisSettings,
    EngagementSettings,
    WorkerSettings,
    RefreshSettings,
    MonitorSettings,
    FinetuningSettings,
    ModelSettings,
    ServingSettings,
    AdapterSettings,
    ProcessSettings,
)


class Settings(
    KafkaSettings,
    RedisSettings,
    EngagementSettings,
    WorkerSettings,
    RefreshSettings,
    MonitorSettings,
    FinetuningSettings,
    ModelSettings,
    ServingSettings,
    AdapterSettings,
    ProcessSettings,
):
    """Every setting of every package, validated once at start and then passed as an argument."""


def load_settings(environment: Mapping[str, str] = os.environ, **overrides: Any) -> Settings:
    """Reads the environment, and the files that it names for secrets.

    Args:
        environment: Where misspelt names and `NAME_FILE` are looked for; the values of the settings themselves come
            from the process's own.
        **overrides: Values by field name, which win.

    Raises:
        ConfigurationError: One line naming each setting that cannot be, and what was expected; no secret is in it.
    """
    check_names(environment, Settings)
    try:
        return Settings(**{**secrets_from_files(environment, Settings), **overrides})
    except ValidationError as error:
        raise ConfigurationError(refusal(error, Settings)) from None
