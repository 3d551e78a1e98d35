"""What a command that needs TensorFlow says on standard error: nothing of TensorFlow's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def too_short(tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """The whole command on a history too short to cut in two, which it finds out after TensorFlow is imported."""
    (tmp_path / "i.csv").write_text("event_id,user_id,course_id,type,timestamp\ne1,u,c,click,1700000000000\n")
    (tmp_path / "c.csv").write_text("course_id,title\nc,Course\n")
    command = [sys.executable, "-m", "recsys.cli", "evaluate", "--interactions", "i.csv", "--courses", "c.csv"]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    return subprocess.run(command, cwd=tmp_path, env=inherited, capture_output=True, text=True, check=False)


def test_tensorflow_says_nothing_as_it_is_imported(tmp_path: Path) -> None:
    done = too_short(tmp_path)
    assert done.returncode == 2
    *account, said = done.stderr.splitlines()
    assert [line.split()[0] for line in account] == ["history", "catalogue:"]
    assert said.startswith("recsys: a history cannot be cut in time")
