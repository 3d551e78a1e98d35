"""What native code writes to file descriptor 2 during an import, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import os, re, sys
from recsys.process.native_logs import native_stderr_filtered

def noisy(fails):
    with native_stderr_filtered(re.compile(rb"I0000 |WARNING: All log")):
        os.write(2, b"WARNING: All log messages\\nI0000 oneDNN\\nE0000 the disk is full\\nlast words")
        print("progress", file=sys.stderr, flush=True)
        if fails:
            raise ImportError("cannot be loaded")

try:
    noisy(sys.argv[1] == "fails")
except ImportError:
    pass
print("\\nafter", file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("outcome", "held"),
    [
        ("works", ["E0000 the disk is full", "last words"]),
        ("fails", ["WARNING: All log messages", "I0000 oneDNN", "E0000 the disk is full", "last words"]),
    ],
)
def test_some_lines_are_dropped_only_where_all_went_well_and_pythons_own_pass_at_once(
    outcome: str, held: list[str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, outcome], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stderr.splitlines() == ["progress", *held, "after"]


def test_a_closed_standard_error_is_no_obstacle() -> None:
    program = (
        "import re\nfrom recsys.process.native_logs import native_stderr_filtered as f\nwith f(re.compile(b'x')): pass"
    )
    done = subprocess.run(["bash", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, program], check=False, timeout=60)
    assert done.returncode == 0
