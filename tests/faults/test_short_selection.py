"""The fault suite's short selection: a few kills, short outages, a small load, on one Kafka. `make faults` runs all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.devtools.local_kafka import LocalKafka, missing_programs
from infra.devtools.processes import free_port
from tests.faults import cases  # noqa: F401 - registers them
from tests.faults.findings import CASES
from tests.faults.runner import run_case

pytestmark = [
    pytest.mark.services,
    pytest.mark.timeout(420),
    pytest.mark.skipif(bool(missing_programs()), reason="no Java for a Kafka that can be killed"),
]

SEED = 7
SCALE = 0.05
SESSION_TIMEOUT_S = 6.0
"""The least that a broker takes; `make faults` runs with the default."""


@pytest.fixture(scope="module")
def own_kafka() -> Iterator[LocalKafka]:
    """A broker that may be killed."""
    with LocalKafka(proxied_port=free_port()) as broker:
        yield broker


@pytest.mark.parametrize("name", ["T1", "T4", "T5", "T6", "T11", "T12"])
def test_nothing_is_lost_or_counted_twice(own_kafka: LocalKafka, tmp_path: Path, name: str) -> None:
    outcome = run_case(
        CASES[name], own_kafka, tmp_path / name, seed=SEED, scale=SCALE, session_timeout_s=SESSION_TIMEOUT_S
    )
    assert (outcome.problems, outcome.lost, outcome.doubled, outcome.wrong) == ([], 0, 0, 0)
    assert outcome.passed
