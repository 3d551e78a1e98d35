"""One heap for all threads: what keeps resident memory from creeping up (`make soak`)."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

COUNT_HEAPS = """
import ctypes, sys, threading
from recsys.process.allocator import use_one_arena
if sys.argv[1] == "one":
    assert use_one_arena()
start = threading.Barrier(4)
def work():
    start.wait()
    kept.append([bytes(2000) for _ in range(200)])
    start.wait()
kept, threads = [], [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
out = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, out)
libc.fflush(out)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's arenas")
@pytest.mark.parametrize(("how", "one"), [("one", True), ("default", False)])
def test_threads_share_one_heap_where_asked(how: str, one: bool) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    command = [sys.executable, "-c", COUNT_HEAPS, how]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout.count("<heap nr=") == 1) is one, done.stdout[:500]
