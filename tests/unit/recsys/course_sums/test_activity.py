"""Course activity: sums that additions join in any order, at any half-life and over any number of years."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.course_sums.activity import (
    BYTES,
    CONTRIBUTIONS,
    FIRST,
    HALF_LIVES,
    LAST,
    POPULARITY_DAYS,
    SUMS,
    Terms,
    activity,
    added,
    by_row,
    merged,
    packed,
    touched,
    unpacked,
    untouched,
)
from recsys.engagement import MS_PER_DAY
from recsys.model.course_features import course_features
from recsys.model.inputs import Doubles

BEGIN = 1_000_000_000_000
NOW = BEGIN + 9000 * MS_PER_DAY
TOUCHES = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 8999).map(lambda day: BEGIN + day * MS_PER_DAY), st.booleans()),
    min_size=1,
    max_size=40,
)
Touch = tuple[int, int, bool]


def terms(touches: list[Touch], sign: int = 1) -> Terms:
    """Course, time, and whether it is a first touch."""
    course, at_ms, first = (np.array(column) for column in zip(*touches, strict=True))
    return Terms(course, at_ms.astype(np.float64), np.full(len(course), float(sign)), sign * first.astype(np.float64))


def directly(touches: list[Touch], at_ms: int) -> Doubles:
    """Sums as of a time, one by one, `(SUMS, 4)`."""
    sums = np.zeros((SUMS, 4))
    for course, then, first in touches:
        for row, days in enumerate(HALF_LIVES):
            if row < len(POPULARITY_DAYS) or first:
                sums[row, course] += 2.0 ** (-(at_ms - then) / MS_PER_DAY / days)
    return sums


def sums_of(vectors: Doubles, at_ms: int) -> Doubles:
    found = activity(vectors, at_ms)
    return np.concatenate([found.popularity, found.first_touches])


@given(TOUCHES, st.integers(0, 40))
def test_the_sums_are_those_of_what_was_added_in_whatever_order_and_parts(touches: list[Touch], cut: int) -> None:
    forward, back = untouched(4), untouched(4)
    for part in (touches[:cut], touches[cut:]):
        forward = added(forward, terms(part)) if part else forward
    for touch in reversed(touches):
        back = added(back, terms([touch]))
    for vectors in (forward, back):
        assert np.isfinite(vectors[touched(vectors)]).all()
        np.testing.assert_allclose(sums_of(vectors, NOW), directly(touches, NOW), rtol=1e-9, atol=1e-300)
    np.testing.assert_array_equal(forward[:, FIRST:], back[:, FIRST:])


@given(TOUCHES, TOUCHES)
def test_what_leaves_again_leaves_nothing(stays: list[Touch], goes: list[Touch]) -> None:
    vectors = added(added(untouched(4), terms([*goes, *stays])), terms(goes, sign=-1))
    np.testing.assert_allclose(sums_of(vectors, NOW), directly(stays, NOW), rtol=1e-9, atol=1e-12)
    assert touched(vectors).tolist() == [any(course == each for each, _, _ in stays) for course in range(4)]
    assert (vectors[:, :SUMS] >= 0).all()


@given(TOUCHES, TOUCHES)
def test_shards_merge_to_what_one_shard_would_hold(one: list[Touch], other: list[Touch]) -> None:
    parts = []
    for touches, shift in ((one, 0), (other, 1)):
        vectors = added(untouched(4), terms(touches))
        some = touched(vectors)
        parts.append(([f"c{row + shift}" for row in np.flatnonzero(some)], vectors[some]))
    ids, whole = merged(parts)
    found = by_row(ids, whole, {f"c{row}": row for row in range(5)})
    moved = [(course + 1, at_ms, first) for course, at_ms, first in other]
    expected = added(untouched(5), terms([*one, *moved]))
    np.testing.assert_allclose(sums_of(found, NOW), sums_of(expected, NOW), rtol=1e-9, atol=1e-300)
    np.testing.assert_array_equal(found[:, FIRST:], expected[:, FIRST:])


def test_a_half_life_of_a_day_neither_overflows_nor_vanishes_over_decades() -> None:
    vectors = added(untouched(1), terms([(0, BEGIN, True)]))
    vectors = added(vectors, terms([(0, NOW, False)]))
    assert vectors[0, :SUMS].tolist() == pytest.approx([1.0] * 7 + [1 + 2 ** (-9000 / 365), 2.0, 0.0, 0.0, 1.0])
    assert (vectors[0, FIRST], vectors[0, LAST]) == (BEGIN, NOW)
    assert vectors[0, CONTRIBUTIONS] == 2


def test_the_bytes_come_back_and_others_are_refused() -> None:
    vectors = added(untouched(2), terms([(0, BEGIN, True), (1, NOW, False)]))
    values = packed(vectors)
    assert [len(value) for value in values] == [BYTES, BYTES]
    np.testing.assert_array_equal(
        unpacked([values[1], None, values[0]]), np.stack([vectors[1], untouched(1)[0], vectors[0]])
    )
    assert unpacked([]).shape == (0, BYTES // 8)
    with pytest.raises(ValueError, match="112 bytes"):
        unpacked([b"five"])


def test_a_course_nobody_touched_has_features_without_a_warning() -> None:
    assert np.isfinite(untouched(3)).all(), "a bundle that holds other numbers is refused"
    features = course_features(activity(untouched(3), NOW))
    assert np.isfinite(features).all()
