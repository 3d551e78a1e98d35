"""The doctor's output and exit status."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from infra.operator.doctor.command import command


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str, **environment: str) -> tuple[int, str]:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    result = CliRunner().invoke(command, list(arguments), catch_exceptions=False)
    return result.exit_code, result.stdout


def test_settings_that_cannot_be_read_are_all_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    status, said = run(monkeypatch, "--json", RECSYS_WORKER_MAX_POL_RECORDS="5")
    assert status == 1
    (finding,) = json.loads(said)
    assert (finding["check"], finding["level"]) == ("settings", "problem")
    assert "RECSYS_WORKER_MAX_POLL_RECORDS" in finding["found"]


def test_services_that_are_away_are_both_told(monkeypatch: pytest.MonkeyPatch) -> None:
    away = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "REDIS_URL": "redis://127.0.0.1:1/0"}
    status, said = run(monkeypatch, **away)
    assert status == 1
    assert [line.split(":")[0].split() for line in said.splitlines()] == [
        ["ok", "settings"],
        ["problem", "kafka"],
        ["problem", "redis"],
    ]
