"""The wall clock, for composition roots: everything below them takes the time as an argument."""

from __future__ import annotations

import time


def now_ms() -> int:
    """The time of this machine, ms since 1970 UTC."""
    return time.time_ns() // 1_000_000
