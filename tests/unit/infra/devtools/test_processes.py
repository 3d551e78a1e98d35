"""Child processes: nothing survives, and what they said is told."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from infra.devtools.processes import Child, free_port, tail
from recsys.errors import ServiceUnavailable

FOREVER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in {"Z", "X"}


def gone_within(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_a_child_that_ends_at_its_start_tells_its_last_words(tmp_path: Path) -> None:
    child = Child("thing", [sys.executable, "-c", "raise SystemExit('no such disk')"], log=tmp_path / "log")
    with pytest.raises(ServiceUnavailable, match=r"thing ended with exit status 1 before it was ready:\nno such disk"):
        child.wait_until(lambda: False, seconds=20)


def test_a_child_that_never_gets_ready_is_told_with_the_time_allowed(tmp_path: Path) -> None:
    child = Child("thing", FOREVER, log=tmp_path / "log")
    try:
        with pytest.raises(ServiceUnavailable, match=r"answer within 0\.1 s"):
            child.wait_until(lambda: False, seconds=0.1)
    finally:
        child.kill()


def test_stopping_asks_first_and_insists_after(tmp_path: Path) -> None:
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    )
    child = Child("deaf", [sys.executable, "-c", deaf], log=tmp_path / "log")
    child.wait_until(lambda: "up" in tail(child.log), seconds=20)
    assert child.stop(seconds=0.2) == -signal.SIGKILL
    polite = Child("polite", FOREVER, log=tmp_path / "log2")
    assert polite.stop() == -signal.SIGTERM
    assert polite.stop() == -signal.SIGTERM  # once more does no harm


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the signal")
def test_a_child_dies_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    parent_code = (
        "import sys, time; from pathlib import Path; from infra.devtools.processes import Child\n"
        f"child = Child('c', {FOREVER!r}, log=Path({str(tmp_path / 'log')!r}))\n"
        "print(child.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", parent_code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert alive(pid)
        os.kill(parent.pid, signal.SIGKILL)
    assert gone_within(pid, 10)


def test_free_ports_are_on_loopback_and_above_the_privileged_ones() -> None:
    assert free_port() >= 1024
