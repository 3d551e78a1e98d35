"""TensorFlow imported without its start-up messages.

The C++ side of TensorFlow 2.21 writes to file descriptor 2 while it is imported (oneDNN, CUDA, CPU features, "All log
messages before absl::InitializeLog() …"), before it reads TF_CPP_MIN_LOG_LEVEL. So during the import the descriptor
leads to a file, and what is no such message is written afterwards. Python's own `sys.stderr` keeps its way: a
progress display goes on.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from typing import Final

FATAL_ONLY: Final = "3"
"""TF_CPP_MIN_LOG_LEVEL: 0 all, 1 no info, 2 no warnings, 3 no errors. One of TensorFlow's errors is "failed call to
cuInit", which every machine without a GPU writes; what is really wrong reaches Python as an exception."""

_LOG_LINE: Final = re.compile(
    rb"[IWE]\d{4} \d\d:\d\d|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IWE] "
    rb"|WARNING: All log messages before absl::InitializeLog|To enable the following instructions:"
)


def import_tensorflow(*, quiet: bool) -> None:
    """Imports TensorFlow and Keras, which takes some ten seconds; later imports of either are silent and free.

    Args:
        quiet: Leave its log messages out, now and later in this process. A TF_CPP_MIN_LOG_LEVEL that is set already
            holds for what comes later.

    Raises:
        ImportError: TensorFlow is not installed, or cannot be loaded; what it wrote is on standard error.
    """
    if not quiet:
        importlib.import_module("keras")
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", FATAL_ONLY)
    with native_stderr_filtered(_LOG_LINE):
        importlib.import_module("keras")


@contextlib.contextmanager
def native_stderr_filtered(left_out: re.Pattern[bytes]) -> Iterator[None]:
    """Holds back what is written to file descriptor 2, and at the end writes it there without some lines.

    Args:
        left_out: Lines that begin so are dropped; none is if the block raises.
    """
    try:
        original = os.dup(2)
    except OSError:  # closed by who started the process: nobody reads it
        yield
        return
    python_stderr = sys.stderr
    python_stderr.flush()
    with tempfile.TemporaryFile() as held, os.fdopen(original, "w", encoding="utf-8", errors="replace") as open_stderr:
        os.dup2(held.fileno(), 2)
        sys.stderr = open_stderr
        dropped = re.compile(b"(?!)")  # matches nothing
        try:
            yield
            dropped = left_out
        finally:
            sys.stderr = python_stderr
            open_stderr.flush()
            os.dup2(original, 2)
            held.seek(0)
            for line in held:
                if not dropped.match(line):
                    os.write(2, line)
