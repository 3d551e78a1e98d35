"""A stop that comes while the worker's process is still importing."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

ASKED_WHILE_IMPORTING = """
import os, sys
from recsys.cli import main

class Stop:
    def find_spec(self, name, *_):
        if name == "stream.engagement.process":
            slow = {"faust", "aiokafka", "redis", "numpy", "pydantic", "structlog"} & set(sys.modules)
            print(*sorted(slow), flush=True)
            os.kill(os.getpid(), int(sys.argv[1]))

sys.meta_path.insert(0, Stop())
main(["stream"])
"""


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_while_importing_ends_with_0_and_signals_are_handled_before_anything_slow(asked: signal.Signals) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ASKED_WHILE_IMPORTING, str(int(asked))], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "\n", "")
