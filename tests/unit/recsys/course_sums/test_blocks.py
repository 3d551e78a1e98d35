"""Blocks of terms: refused when they are none, and settled to the same sums however they are grouped."""

from __future__ import annotations

import random

import msgspec
import numpy as np
import pytest

from recsys.course_sums.activity import Terms, unpacked
from recsys.course_sums.blocks import Block, courses_of, decoded, encoded, settled, with_blocks
from recsys.engagement import MS_PER_DAY
from recsys.record.sums import SUM_BYTES, sum_of

COURSES = [f"c{n}" for n in range(40)]


def block(seed: int, sign: int = 1, rows: int = 30) -> bytes:
    """Likes of a first touch each, or the same taken back."""
    drawn = np.random.default_rng(seed)
    names = [*dict.fromkeys(drawn.choice(COURSES, rows).tolist())]
    signs = np.full(rows, float(sign))
    terms = Terms(
        drawn.integers(0, len(names), rows), np.array(drawn.integers(0, 900, rows) * float(MS_PER_DAY)), signs, signs
    )
    return encoded(names, terms, sign * np.exp2(drawn.uniform(0, 50, rows)))


def settled_in_turns(blocks: list[bytes], at_once: int) -> dict[str, bytes]:
    values: dict[str, bytes] = {}
    for start in range(0, len(blocks), at_once):
        values = with_blocks(values, decoded(blocks[start : start + at_once]))
    return values


@pytest.mark.parametrize("at_once", [1, 2, 7, 20])
def test_sums_are_the_same_however_blocks_are_grouped_and_ordered(at_once: int) -> None:
    blocks = [block(seed) for seed in range(20)] + [block(seed, -1) for seed in range(0, 20, 3)]
    shuffled = blocks[:20]
    random.Random(1).shuffle(shuffled)
    expected, received = settled_in_turns(blocks, len(blocks)), settled_in_turns(shuffled + blocks[20:], at_once)
    assert received.keys() == expected.keys()
    for course, value in expected.items():
        assert sum_of(received[course]) == pytest.approx(sum_of(value), rel=1e-12)
        one, other = unpacked([value[SUM_BYTES:], received[course][SUM_BYTES:]])
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def test_what_joined_and_left_leaves_nothing() -> None:
    joined = [block(seed) for seed in range(5)]
    left = [block(seed, -1) for seed in range(5)]
    assert settled_in_turns([*joined, *left], 3) == {}
    assert set(settled({}, decoded([*joined, *left])).values()) == {None}
    assert with_blocks({"c1": b"stays"}, []) == {"c1": b"stays"}


def test_terms_that_cancel_take_nothing_with_them() -> None:
    def one(at_ms: float, sign: float, trend: float) -> bytes:
        return encoded(
            ["c"], Terms(np.zeros(1, int), np.array([at_ms]), np.array([sign]), np.array([sign])), np.array([trend])
        )

    early, late = 1.6e12, 1.6e12 + 400.0 * MS_PER_DAY
    values = settled_in_turns([one(early, 1.0, 1.0), one(late, 1.0, 2.0**40), one(late, -1.0, -(2.0**40))], 1)
    assert sum_of(values["c"]) == 1.0


def test_every_course_that_blocks_name_has_a_number() -> None:
    blocks = decoded([block(1), block(2)])
    numbers = courses_of(blocks)
    assert set(numbers) == {course for each in blocks for course in each.courses}
    assert [*numbers.values()] == [*range(len(numbers))]


WHOLE = Block(["c"], bytes(4), bytes(8), bytes(1), bytes(1), bytes(8))


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"five",
        msgspec.msgpack.encode(WHOLE)[:-1],
        msgspec.msgpack.encode(["c"]),
        *[
            msgspec.msgpack.encode(msgspec.structs.replace(WHOLE, **{part: value}))
            for part, value in (("courses", []), ("course", bytes(3)), ("course", b"\1\0\0\0"), ("trend", bytes(16)))
        ],
    ],
)
def test_what_is_no_block_is_refused(stored: bytes) -> None:
    assert decoded([msgspec.msgpack.encode(WHOLE)]) == [WHOLE]
    with pytest.raises(ValueError, match="block"):
        decoded([stored])


@pytest.mark.parametrize("value", [bytes(20), bytes(133), b""])
def test_a_value_that_is_none_is_refused(value: bytes) -> None:
    found = decoded([block(1)])
    with pytest.raises(ValueError, match="expected"):
        settled({found[0].courses[0]: value}, found)
