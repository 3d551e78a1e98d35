"""The main job as its user runs it: one command, a changed list, nothing left behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

LEARNERS = "100"
"""An eighth of what the demo simulates by itself: training is most of its time."""


@pytest.mark.timeout(420)
def test_one_command_ends_with_a_changed_list_and_leaves_nothing(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    out = tmp_path / "demo.json"
    environment = {
        name: value for name, value in os.environ.items() if name not in {"KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL"}
    }
    ended = subprocess.run(
        [sys.executable, "-m", "recsys.cli", "demo", "--once", "--learners", LEARNERS, "--json", str(out)],
        env={**environment, "TMPDIR": str(scratch)},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    told = json.loads(out.read_text())
    assert len(told["before"]) == len(told["after"]) == 10
    assert told["before"] != told["after"]
    assert told["model"]
    assert told["event_to_answer_ms"] > 0
    assert all(told["titles"].values())
    assert told["new_course"]["course_id"] not in told["titles"]
    assert 1 <= told["new_course"]["rank"] <= 10
    assert "retired, it was off the list" in ended.stdout
    shift = told["taste_shift"]
    assert len(shift["finetuned"]) == 10
    assert shift["verdicts"]
    assert shift["published"] == (shift["model"] != told["model"]) == ("published an increment" in ended.stdout)
    a_baseline_won = shift["verdicts"][0].startswith("waiting_for_a_model")  # may be, with so few learners
    assert shift["learned"] > 0 or a_baseline_won
    assert not list(scratch.iterdir())
    running = subprocess.run(["ps", "ax", "-o", "args"], capture_output=True, text=True, check=True).stdout
    assert str(scratch) not in running
