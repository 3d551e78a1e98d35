"""What `recsys retrain` and `recsys evaluate` say on standard error: one line each, and nothing of TensorFlow's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from batch.commands import evaluate, retrain
from recsys.errors import ConfigurationError


@pytest.mark.parametrize(
    ("options", "received"),
    [
        ([], "neither"),
        (["--interactions", "i.csv"], "--interactions"),
        (["--from-topic", "--interactions", "i.csv"], "--from-topic and --interactions"),
    ],
)
def test_a_history_from_two_places_or_none_is_refused(options: list[str], received: str) -> None:
    result = CliRunner().invoke(retrain, options)

    assert isinstance(result.exception, ConfigurationError)
    assert str(result.exception).endswith(f"received {received}")


@pytest.mark.parametrize("name", ["", ".", "..", "../kept", "a/b", "/a", "x" * 101, "a b"])
def test_a_report_replaces_nothing_outside_its_folder(tmp_path: Path, name: str) -> None:
    options = ["--interactions", str(tmp_path / "i.csv"), "--courses", str(tmp_path / "c.csv"), "--report", name]

    result = CliRunner().invoke(evaluate, options)

    assert isinstance(result.exception, ConfigurationError)
    assert "expected --report as a folder's name" in str(result.exception)


def evaluated(tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The whole command on a history too short to cut in two, which it finds out after TensorFlow is imported."""
    (tmp_path / "i.csv").write_text("event_id,user_id,course_id,type,timestamp\ne1,u,c,click,1700000000000\n")
    (tmp_path / "c.csv").write_text("course_id,title\nc,Course\n")
    command = [sys.executable, "-m", "recsys.cli", "evaluate", "--interactions", "i.csv", "--courses", "c.csv"]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    return subprocess.run(
        command, cwd=tmp_path, env={**inherited, **environment}, capture_output=True, text=True, check=False
    )


def test_tensorflow_says_nothing_as_it_is_imported(tmp_path: Path) -> None:
    done = evaluated(tmp_path)
    assert done.returncode == 2
    *account, said = done.stderr.splitlines()
    assert [line.split()[0] for line in account] == ["history", "catalogue:"]
    assert said.startswith("recsys: a history cannot be cut in time")


def test_with_debug_tensorflow_says_what_it_has_to_say(tmp_path: Path) -> None:
    done = evaluated(tmp_path, RECSYS_LOG_LEVEL="debug", TF_ENABLE_ONEDNN_OPTS="1")
    assert done.returncode == 2
    assert "oneDNN" in done.stderr
