"""Nesting has one outcome, whatever stack the caller has left.

msgspec recurses: in a nearly full stack it raised, in a fresh one it decoded, and with a raised recursion limit (as
some libraries set it) or a small thread it ended the process. So depth is counted before it decodes.
"""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from recsys.errors import InvalidEvent
from recsys.events import decode
from recsys.nesting import MAX_DEPTH

ARRIVAL = 1_700_000_000_000
GOOD = {"event_id": "e1", "user_id": "u1", "course_id": "c1", "type": "view", "timestamp": ARRIVAL - 1000}
FRAMES_A_DECODE_NEEDS = 60
TYPED_TIME, LENIENT_TIME = b'"timestamp": 1699999999000', b'"timestamp": "2023-11-14T22:13:19Z"'


def event(**changes: Any) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


def nested(depth: int) -> bytes:
    """A good event with an unknown field that makes it so deep."""
    return event().replace(b"{", b'{"x":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b",")


OUTCOMES = [
    (b"[" * 10_000 + b"]" * 10_000, "too_deep"),
    (b"[" * 10_000, "too_deep"),
    (b'{"a":' * 10_000, "too_deep"),
    (b'{"user_id": 5, "x": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", "too_deep"),
    (nested(MAX_DEPTH + 1), "too_deep"),
    (nested(900), "too_deep"),
    (nested(MAX_DEPTH), "accepted"),
    (b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, "schema"),
    (b"[" * MAX_DEPTH, "not_json"),
    (event(page='[{"\\' * 10_000), "accepted"),
    (event(page=[[{}]] * 1000), "accepted"),
]
"""Each of these goes the typed way; with a time in RFC 3339 the lenient one, to the same outcome."""


def outcome(value: bytes) -> str:
    try:
        decode(value, arrival_ms=ARRIVAL)
    except InvalidEvent as refusal:
        return refusal.reason
    return "accepted"


def outcomes() -> list[str]:
    typed = [outcome(value) for value, _ in OUTCOMES]
    lenient = [outcome(value.replace(TYPED_TIME, LENIENT_TIME)) for value, _ in OUTCOMES]
    assert typed == lenient
    return typed


EXPECTED = [expected for _, expected in OUTCOMES]


@contextmanager
def recursion_limit(frames: int) -> Iterator[None]:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(frames)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def below(frames: int, call: Callable[[], list[str]]) -> list[str]:
    return below(frames - 1, call) if frames else call()


@pytest.mark.parametrize("limit", [1000, 3000, 10_000, 1_000_000])
@pytest.mark.parametrize("left", [FRAMES_A_DECODE_NEEDS, 100, 500, 900])
def test_the_outcome_is_the_same_at_every_depth_of_the_stack_and_every_limit(limit: int, left: int) -> None:
    with recursion_limit(limit):
        used = len(inspect.stack())
        assert below(max(0, min(limit, 5000) - used - left), outcomes) == EXPECTED


@pytest.mark.parametrize("stack_bytes", [128 * 1024, 1024 * 1024, 64 * 1024 * 1024])
@pytest.mark.parametrize("limit", [1000, 1_000_000])
def test_the_outcome_is_the_same_in_threads_of_small_and_large_stacks(limit: int, stack_bytes: int) -> None:
    received: list[list[str]] = []
    before = threading.stack_size(stack_bytes)
    try:
        with recursion_limit(limit):
            threads = [threading.Thread(target=lambda: received.append(outcomes())) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    finally:
        threading.stack_size(before)
    assert received == [EXPECTED] * 4


def test_the_outcome_is_the_same_in_a_process_with_heavy_libraries_loaded() -> None:
    program = (
        "import sys; sys.setrecursionlimit(10**6)\n"
        "import numpy, pandas, faust\n"
        "from tests.unit.recsys.test_event_depth import EXPECTED, outcomes\n"
        "sys.exit(outcomes() != EXPECTED)"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
