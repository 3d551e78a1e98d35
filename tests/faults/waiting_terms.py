"""What waits to be added to the sums over courses, added: written anew, with nothing of `recsys.model` in it."""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Iterable, Mapping
from math import fsum

import msgspec
import numpy as np

from tests.faults.pairs import DAY_MS

HALF_LIVES = (1.0, 3.0, 7.0, 14.0, 30.0, 60.0, 120.0, 365.0, np.inf, 7.0, 30.0, np.inf)
"""In days: nine of popularities, three of first touches."""
SIGNS = (*[1] * 9, *[2] * 3)
FORMS = ("<u4", "<i8", "i1", "i1", "<f8")
VALUE = struct.Struct("<ddI14d")
NEVER_MS = 253_402_300_799_999.0

Term = tuple[int, int, int, float]
"""Time in ms; what popularities, first touches and trending change by."""
Sums = tuple[float, int, tuple[float, ...]]
"""Trending, records with a part in it, and activity: twelve sums as of the last time, the first and the last time."""


def with_waiting(values: Mapping[bytes, bytes], blocks: Iterable[bytes]) -> dict[str, Sums]:
    """Course → its sums in a shard, of courses that any record has a part in."""
    terms = _terms(blocks)
    found: dict[str, Sums] = {}
    for course in {name.decode() for name in values} | terms.keys():
        stored = values.get(course.encode())
        total, rest, records, *activity = (
            (0.0, 0.0, 0, *[0.0] * 12, NEVER_MS, 0.0) if stored is None else VALUE.unpack(stored)
        )
        waiting = terms.get(course, [])
        records += sum(first for _, _, first, _ in waiting)
        if records:
            trend = fsum([total, rest, *(term[3] for term in waiting)])
            found[course] = trend, int(records), _activity(activity, waiting)
    return found


def _terms(blocks: Iterable[bytes]) -> dict[str, list[Term]]:
    found: dict[str, list[Term]] = defaultdict(list)
    for block in blocks:
        courses, *arrays = msgspec.msgpack.decode(block)
        columns = (np.frombuffer(raw, form).tolist() for raw, form in zip(arrays, FORMS, strict=True))
        for number, *term in zip(*columns, strict=True):
            found[courses[number]].append(tuple(term))
    return found


def _activity(before: list[float], waiting: list[Term]) -> tuple[float, ...]:
    *sums, first, last = before
    joined = [at_ms for at_ms, popularity, _, _ in waiting if popularity > 0]
    first_now, last_now = min([first, *joined]), max([last, *joined])
    terms = np.array([term[:3] for term in waiting], np.float64).reshape(-1, 3)
    days = (last_now - terms[:, 0]) / DAY_MS
    moved = (last_now - last) / DAY_MS if any(sums) else 0.0
    now = [
        total * 2.0 ** (-moved / half_life) + float((terms[:, signs] * 2.0 ** (-days / half_life)).sum())
        for total, half_life, signs in zip(sums, HALF_LIVES, SIGNS, strict=True)
    ]
    return (*now, first_now, last_now)
