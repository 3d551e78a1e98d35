"""Reads the bytes of a record as `docs/state.md` describes them, with nothing of `recsys.record`.

8 bytes of engagement (a little-endian double), one byte of version, a msgpack array of integers: last touch after the
landmark in ms; number of flows; the largest flow and the distance from each to the next; then for each state its
code, the time from it to the last touch, and for a rating its value.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import msgspec

from tests.faults.pairs import FLOWS, LANDMARK_MS, STATES, Pair, Register
from tests.faults.topic import LogRecord

VERSION = 1
CONTROL_HEADER, HANDED_ON = "recsys.control", b"handed-on"
DAYS_TO_LANDMARK = 18_262  # from 1970-01-01 to 2020-01-01
RATE = 2 * STATES.index("rate")
FIRST_QUARTER = 2 * len(STATES)


class Stored(NamedTuple):
    """A value of a learner's hash: the record, and the engagement written in front of it."""

    pair: Pair
    engagement: float


def unpacked(value: bytes) -> Stored:
    """The record in a packed value.

    Raises:
        ValueError: It is none of this version.
    """
    if len(value) < 10 or value[8] != VERSION:
        raise ValueError(f"expected a record of version {VERSION}, received {value!r}")
    (engagement,) = struct.unpack("<d", value[:8])
    touched, many, *numbers = msgspec.msgpack.decode(value[9:], type=list[int])
    touched += LANDMARK_MS
    flows: list[int] = []
    for number in numbers[:many]:
        flows.append(flows[-1] - number if flows else number)
    pair = _with_states(numbers[many:], touched)
    pair.flows = frozenset((flow // len(FLOWS) + DAYS_TO_LANDMARK, flow % len(FLOWS)) for flow in flows)
    pair.touched = touched
    return Stored(pair, engagement)


def _with_states(numbers: list[int], touched: int) -> Pair:
    pair, states = Pair(), dict[str, Register]()
    at = 0
    while at < len(numbers):
        code, time = numbers[at], touched - numbers[at + 1]
        at += 2
        if code > FIRST_QUARTER:
            pair.progress = (code - FIRST_QUARTER, -time)
            continue
        value = 0.0
        if code == RATE:
            value = numbers[at] / 20
            at += 1
        states[STATES[code // 2]] = (time, bool(code % 2), value)
    pair.states = states
    return pair


class HandedOn(NamedTuple):
    """What a merge hands on to the learner it joined another to, through the topic.

    Attributes:
        into: The learner it goes to.
        path: The learners it comes from, first to last.
        erased_until: An erasure of one of them; 0 for none.
        pairs: Course → record.
    """

    into: str
    path: tuple[str, ...]
    erased_until: int
    pairs: dict[str, Pair]


def handed_on(record: LogRecord) -> HandedOn | None:
    """What a record hands on; None for an event.

    Raises:
        ValueError: It says that it hands something on, and does not.
    """
    if (CONTROL_HEADER, HANDED_ON) not in record.headers:
        return None
    version, into, path, erased_until, packed = msgspec.msgpack.decode(record.value or b"")
    if version != 1:
        raise ValueError(f"expected records handed on in version 1, received {version}")
    return HandedOn(into, tuple(path), erased_until, {name: unpacked(value).pair for name, value in packed.items()})
