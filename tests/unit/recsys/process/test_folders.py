"""A folder that cannot be written is told before the work, and the question leaves nothing behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recsys.errors import ConfigurationError
from recsys.process.folders import require_writable
from tests.doubles.commands import Run


def test_a_folder_that_is_there_or_can_be_made_is_left_as_it_was(tmp_path: Path) -> None:
    require_writable(tmp_path, "--out")
    require_writable(tmp_path / "a" / "b", "--out")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_under_a_file_is_refused_by_name_and_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        ConfigurationError, match=r"^cannot write to .*file/models \(RECSYS_MODELS_DIR\): Not a directory$"
    ):
        require_writable(tmp_path / "file" / "models", "RECSYS_MODELS_DIR")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("command", "named"),
    [
        (["retrain", "--interactions", "i.csv", "--courses", "c.csv"], "RECSYS_MODELS_DIR"),
        (["retrain", "--from-topic"], "RECSYS_MODELS_DIR"),
        (["evaluate", "--interactions", "i.csv", "--courses", "c.csv", "--report", "r"], "RECSYS_REPORTS_DIR"),
        (["simulate", "--out", "file/out"], "--out"),
        (["import", "mars", "--source", "nowhere", "--out", "file/out"], "--out"),
    ],
)
def test_commands_say_so_before_they_read_anything(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, command: list[str], named: str
) -> None:
    """Before, a retrain found out after the training."""
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECSYS_MODELS_DIR", "file/models")
    monkeypatch.setenv("RECSYS_REPORTS_DIR", "file/reports")
    ended = run(*command)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("recsys: cannot write to file/")
    assert named in ended.stderr
    assert ended.stderr.count("\n") == 1, json.dumps(ended.stderr)
