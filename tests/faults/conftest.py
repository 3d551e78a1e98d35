from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.devtools.local_kafka import LocalKafka
from infra.devtools.processes import free_port
from tests.faults import cases  # noqa: F401 - registers them
from tests.faults.findings import CASES
from tests.faults.runner import run_case

SEED = 7
SCALE = 0.05
SESSION_TIMEOUT_S = 6.0
"""The least that a broker takes; `make faults` runs with the default."""


@pytest.fixture(scope="module")
def own_kafka() -> Iterator[LocalKafka]:
    """A broker that may be killed."""
    with LocalKafka(proxied_port=free_port()) as broker:
        yield broker


@pytest.fixture
def check_case(own_kafka: LocalKafka, tmp_path: Path) -> Callable[[str], None]:
    """Runs a case of the suite at a small scale; nothing is lost, counted twice or otherwise wrong."""

    def run(name: str) -> None:
        outcome = run_case(
            CASES[name], own_kafka, tmp_path / name, seed=SEED, scale=SCALE, session_timeout_s=SESSION_TIMEOUT_S
        )
        assert (outcome.problems, outcome.lost, outcome.doubled, outcome.wrong) == ([], 0, 0, 0)
        assert outcome.passed

    return run
