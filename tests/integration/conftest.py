"""The command line on topics and a consumer group that no other test uses."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doubles.commands import Recsys


@pytest.fixture
def recsys(kafka: str, redis_url: str, tmp_path: Path) -> Iterator[Recsys]:
    """Workers that a test started end with it; topics are its own to make (`recsys topics --partitions N`)."""
    name = f"t-{secrets.token_hex(4)}"
    extra = {
        "RECSYS_INTERACTIONS_TOPIC": name,
        "RECSYS_DEAD_LETTER_TOPIC": f"{name}.dlq",
        "RECSYS_COURSES_TOPIC": f"{name}.courses",
        "RECSYS_EXPOSURES_TOPIC": f"{name}.exposures",
        "RECSYS_CONSUMER_GROUP": name,
        "RECSYS_WORKER_SESSION_TIMEOUT_SECONDS": "6",  # the least that a broker takes
    }
    commands = Recsys(kafka, redis_url, tmp_path, extra)
    yield commands
    commands.stop_workers()
