"""The tests' service ladder: which rung is taken, and that a run without real services says so and fails in CI."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ladder

ROOT = Path(__file__).parent.parent.parent.parent
INNER = """
import pytest

@pytest.mark.services
def test_needs_the_real_ones():
    raise AssertionError("must not run")

def test_content_with_the_embedded(kafka):
    assert kafka
"""


@pytest.fixture(autouse=True)
def _no_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL", "RECSYS_TEST_SERVICES"):
        monkeypatch.delenv(name, raising=False)


def test_given_addresses_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")
    assert ladder.choose_rung()[0] == "given"


@pytest.mark.parametrize(
    ("docker", "missing", "rung"), [(None, [], "docker"), ("no", [], "local"), ("no", ["java"], "embedded")]
)
def test_then_docker_then_local_then_embedded(
    docker: str | None, missing: list[str], rung: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ladder, "_why_no_docker", lambda: docker)
    monkeypatch.setattr(ladder, "missing_programs", lambda: missing)
    monkeypatch.setattr(shutil, "which", lambda program: f"/usr/bin/{program}")
    chosen, why = ladder.choose_rung()
    assert chosen == rung
    assert rung != "embedded" or "java" in why


TWICE = """
import os, sys, pytest

for ci in ("true", ""):
    os.environ["CI"] = ci
    print("status", int(pytest.main(sys.argv[1:])))
"""


def test_a_run_on_the_embedded_broker_names_its_tests_and_fails_under_ci(tmp_path: Path) -> None:
    """Both runs are those of one process, which spares the second its imports."""
    inner = tmp_path / "test_inner.py"
    inner.write_text(INNER)
    ran = subprocess.run(
        [sys.executable, "-c", TWICE, "-q", "-c", "pyproject.toml", "-p", "tests.conftest", str(inner)],
        env={**os.environ, "RECSYS_TEST_SERVICES": "embedded"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    in_ci, elsewhere = re.split(r"^status \d\n", ran.stdout, flags=re.MULTILINE)[:2]
    assert re.findall(r"^status (\d)$", ran.stdout, re.MULTILINE) == ["1", "0"], ran.stdout
    for said in (in_ci, elsewhere):
        assert "embedded broker only" in said
        assert "::test_content_with_the_embedded\n" in said
        assert "::test_needs_the_real_ones (not run)\n" in said
    assert ("CI=true: this fails the run." in in_ci, "CI=true" in elsewhere) == (True, False)
