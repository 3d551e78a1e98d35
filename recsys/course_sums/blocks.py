"""Sums over courses, and the terms that wait to be added to them: blocks, one for each batch of events.

A course's value in a shard is its compensated sum of trending (`recsys.record.sums`), and behind it its packed activity
(`recsys.course_sums.activity`). Adding terms to it one batch at a time costs more than all the rest that a fold does
for an event, because most courses of a batch are in it once. So a batch's terms are kept as a block, and the blocks of
many batches are settled at once. What a shard's sums are is its values with all its blocks settled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from recsys.course_sums.activity import Doubles, Terms, added, packed, unpacked
from recsys.record.sums import SUM_BYTES, change_sum

FEW_COURSES = 1 << 16
"""Numbers of so many courses have 16 bits, which NumPy sorts in linear time."""


class Block(msgspec.Struct, array_like=True, frozen=True):
    """The terms of one batch. Arrays are little-endian bytes.

    Attributes:
        courses: Ids, each once, at least one.
        course: uint32 `(k,)`: number of the course of each term.
        at_ms: int64 `(k,)`: from when it counts, ms since 1970 UTC.
        popularity: int8 `(k,)`: 1 joins the popularities, −1 leaves them, 0 neither.
        first_touches: int8 `(k,)`: the same of the first touches, and of the records that have a part in trending.
        trend: float64 `(k,)`: what joins trending, and the negative of what leaves it; 0 where nothing does.
    """

    courses: list[str]
    course: bytes
    at_ms: bytes
    popularity: bytes
    first_touches: bytes
    trend: bytes


def encoded(courses: Iterable[str], terms: Terms, trend: Doubles) -> bytes:
    """A block as the online store keeps it.

    Args:
        courses: Ids, each once, at least one.
        terms: Of activity, of the courses by their numbers.
        trend: What each adds to trending.
    """
    return msgspec.msgpack.encode(
        Block(
            [*courses],
            terms.course.astype("<u4", copy=False).tobytes(),
            terms.at_ms.astype("<i8", copy=False).tobytes(),
            terms.popularity.astype("i1", copy=False).tobytes(),
            terms.first_touches.astype("i1", copy=False).tobytes(),
            trend.astype("<f8", copy=False).tobytes(),
        )
    )


def in_order(blocks: Mapping[bytes, bytes] | Mapping[str, bytes]) -> list[Block]:
    """The blocks that a shard holds, by the offsets that they stand under: so that every reader rounds alike.

    Raises:
        ValueError: One of them is none, or stands under none.
    """
    return decoded(block for _, block in sorted((int(offset), block) for offset, block in blocks.items()))


def decoded(blocks: Iterable[bytes]) -> list[Block]:
    """Blocks that `encoded` made.

    Raises:
        ValueError: One of them is none.
    """
    try:
        found = [msgspec.msgpack.decode(block, type=Block) for block in blocks]
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ValueError("expected a block of terms") from None
    for block in found:
        k = len(block.popularity)
        if tuple(map(len, msgspec.structs.astuple(block)[1:])) != (4 * k, 8 * k, k, k, 8 * k):
            raise ValueError("expected arrays of one length in a block of terms")
        if np.frombuffer(block.course, "<u4").max(initial=0) >= len(block.courses):
            raise ValueError("expected numbers of courses that the block names")
    return found


def courses_of(blocks: Sequence[Block]) -> dict[str, int]:
    """Every course that blocks name → a number, counted from 0 in order."""
    numbers: dict[str, int] = {}
    for block in blocks:
        for course in block.courses:
            if course not in numbers:
                numbers[course] = len(numbers)
    return numbers


def settled(
    values: Mapping[str, bytes | None], blocks: Sequence[Block], numbers: Mapping[str, int] | None = None
) -> dict[str, bytes | None]:
    """The values of the courses that blocks name after their terms joined and left; None where none is left.

    Args:
        values: Course → value; None or absent where there is none.
        blocks: At least one; in any order.
        numbers: `courses_of` the blocks, where that is known.

    Raises:
        ValueError: A value is none.
    """
    numbers = courses_of(blocks) if numbers is None else numbers
    stored = [values.get(course) for course in numbers]
    activity = unpacked([value and value[SUM_BYTES:] for value in stored])
    terms = _terms(blocks, numbers)
    after = packed(added(activity, terms))
    records = np.bincount(terms.course, terms.first_touches, minlength=len(numbers)).astype(int).tolist()
    sums = map(change_sum, stored, _trends(blocks, terms.course, len(numbers)), records)
    return {
        course: None if total is None else total + vector
        for course, total, vector in zip(numbers, sums, after, strict=True)
    }


def with_blocks(values: Mapping[str, bytes], blocks: Sequence[Block]) -> dict[str, bytes]:
    """A shard's sums: its values, with the blocks that wait settled.

    Raises:
        ValueError: A value is none.
    """
    whole = {**values, **settled(values, blocks)} if blocks else values
    return {course: value for course, value in whole.items() if value is not None}


def _terms(blocks: Sequence[Block], numbers: Mapping[str, int]) -> Terms:
    """The terms of all blocks, of courses by their numbers over all blocks."""
    number_of = numbers.__getitem__
    courses = [
        np.array([*map(number_of, block.courses)], np.intp)[np.frombuffer(block.course, "<u4")] for block in blocks
    ]
    return Terms(
        np.concatenate(courses),
        np.frombuffer(b"".join([block.at_ms for block in blocks]), "<i8").astype(np.float64),
        np.frombuffer(b"".join([block.popularity for block in blocks]), "i1").astype(np.float64),
        np.frombuffer(b"".join([block.first_touches for block in blocks]), "i1").astype(np.float64),
    )


def _trends(blocks: Sequence[Block], course: NDArray[np.intp], courses: int) -> list[list[float]]:
    """What trending of each course changes by."""
    order = np.argsort(course.astype(np.uint16) if courses <= FEW_COURSES else course, kind="stable")
    terms = np.frombuffer(b"".join([block.trend for block in blocks]), "<f8")[order].tolist()
    ends = np.cumsum(np.bincount(course, minlength=courses)).tolist()
    return [terms[start:end] for start, end in zip([0, *ends], ends, strict=False)]
