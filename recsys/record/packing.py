"""The bytes of a record: its engagement first, so that a reader of scores decodes nothing else.

    8 bytes   engagement, a little-endian double (a function of the record under the writer's weights)
    1 byte    the version of the form, `VERSION`
    the rest  a msgpack array of integers, which take as many bytes as they need:
              last touch − landmark (ms), number of flows, the largest flow, the distance from each to the next,
              then for each state and for progress: a code, last touch − its time (ms), and for a rating its value

A pair with one flow takes 23 bytes, one with three flows, an enrolment and half the course 36; 24 flows and every state
of a course, years apart, 163. A value of at most 64 bytes keeps a learner's hash in Redis' compact form.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import accumulate
from operator import sub
from typing import Final

import msgspec

from recsys.engagement import LANDMARK_MS
from recsys.errors import USE_NEWER_RELEASE, UnreadableState
from recsys.record.value import MAX_FLOWS, Record, Register
from recsys.vocabulary import REGISTERS

VERSION: Final = 1
_PROGRESS_CODE: Final = 2 * len(REGISTERS)
_RATE_CODE: Final = 2 * REGISTERS.index("rate")
_TWENTIETHS: Final = 100
"""A value that is a whole number of twentieths is packed as that number, up to 5.0; others as the bits of their double,
which are far larger numbers."""

_DOUBLE: Final = struct.Struct("<d")
_BITS: Final = struct.Struct("<q")
_HEAD: Final = struct.Struct("<dB")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[int]).decode


def pack(record: Record, engagement: float) -> bytes:
    """The record as the online store keeps it.

    Args:
        record: A record.
        engagement: `RecordRules.engagement` of it.
    """
    flows, touch_ms = record.flows, record.touch_ms
    if len(flows) == 1:
        body = [touch_ms - LANDMARK_MS, 1, flows[0]]
        if not record.registers and not record.quarter:  # the commonest: one flow and nothing else
            return _HEAD.pack(engagement, VERSION) + _encode(body)
    else:
        body = [touch_ms - LANDMARK_MS, len(flows), *flows[:1], *map(sub, flows, flows[1:])]
    for state, at_ms, left, value in record.registers:
        code = 2 * state + left
        body += (code, touch_ms - at_ms, _value_code(value)) if code == _RATE_CODE else (code, touch_ms - at_ms)
    if record.quarter:
        body += (_PROGRESS_CODE + record.quarter, touch_ms - record.reached_ms)
    return _HEAD.pack(engagement, VERSION) + _encode(body)


def engagement_of(packed: bytes) -> float:
    """The engagement that a packed record begins with: the stored sum at the landmark.

    Raises:
        struct.error: The bytes are fewer than eight.
    """
    return float(_DOUBLE.unpack_from(packed)[0])


def unpack(packed: bytes, key: str = "a packed record") -> Record:
    """The record that `pack` wrote.

    Args:
        packed: The bytes.
        key: The Redis key they come from, to be named in an error.

    Raises:
        UnreadableState: The bytes are no packed record, or one of a newer release.
    """
    if len(packed) > _DOUBLE.size and packed[8] > VERSION:
        problem = f"was written by a newer release (record version {packed[8]}; this release reads {VERSION})"
        raise UnreadableState(key, problem, remedy=USE_NEWER_RELEASE)
    if len(packed) <= _DOUBLE.size or packed[8] != VERSION:
        raise UnreadableState(key, "holds a value that is no packed record")
    try:
        body = _decode(packed[9:])
        touch_ms, many = body[0] + LANDMARK_MS, body[1]
        if many == 1 and len(body) == 3:  # noqa: PLR2004 - the commonest: one flow and nothing else
            return Record(touch_ms, (body[2],))
        return _unpacked(touch_ms, many, body)
    except (msgspec.DecodeError, IndexError, ValueError, struct.error):
        raise UnreadableState(key, "holds a packed record that is damaged") from None


def _next(rest: Iterator[int]) -> int:
    """The integer that has to follow.

    Raises:
        ValueError: None does.
    """
    for each in rest:
        return each
    raise ValueError("the array ends in the middle of a state")


def _unpacked(touch_ms: int, many: int, body: list[int]) -> Record:
    if not 0 <= many <= MAX_FLOWS or len(body) < 2 + many:
        raise ValueError(many)
    flows = tuple(accumulate(body[2 : 2 + many], sub))
    if len(body) == 2 + many:
        return Record(touch_ms, flows)
    registers: list[Register] = []
    quarter = reached_ms = 0
    rest = iter(body[2 + many :])
    for code in rest:
        at_ms = touch_ms - _next(rest)
        if 0 <= code < _PROGRESS_CODE:
            registers.append((code // 2, at_ms, code % 2, _value_of(_next(rest)) if code == _RATE_CODE else 0.0))
        elif _PROGRESS_CODE < code <= _PROGRESS_CODE + 4:
            quarter, reached_ms = code - _PROGRESS_CODE, at_ms
        else:
            raise ValueError(code)
    return Record(touch_ms, flows, tuple(registers), quarter, reached_ms)


def _value_code(value: float) -> int:
    code = round(value * 20)
    return code if code / 20 == value and 0 <= code <= _TWENTIETHS else int(_BITS.unpack(_DOUBLE.pack(value))[0])


def _value_of(code: int) -> float:
    return code / 20 if 0 <= code <= _TWENTIETHS else float(_DOUBLE.unpack(_BITS.pack(code))[0])
