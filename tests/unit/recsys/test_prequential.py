"""Hit rate and NDCG of one event, and means that forget."""

from __future__ import annotations

from math import inf, log2, sqrt
from statistics import fmean, variance

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.prequential import DecayedMean, hit, ndcg, paired_difference

LIST = [f"c{place}" for place in range(1, 21)]
HOUR_MS = 3_600_000
TRIALS = st.lists(st.tuples(st.floats(-10, 10), st.integers(0, 100 * HOUR_MS)), min_size=1, max_size=30)


@pytest.mark.parametrize(
    ("course", "expected"),
    [("c1", (1, 1)), ("c3", (1, 0.5)), ("c10", (1, 1 / log2(11))), ("c11", (0, 0)), ("x", (0, 0))],
)
def test_a_course_counts_by_its_place_among_the_first_ten(course: str, expected: tuple[float, float]) -> None:
    assert (hit(LIST, course), ndcg(LIST, course)) == expected


def test_an_empty_list_hits_nothing() -> None:
    assert (hit([], "c1"), ndcg([], "c1")) == (0, 0)


def test_a_value_of_an_hour_ago_weighs_half_at_a_half_life_of_an_hour() -> None:
    held = DecayedMean(HOUR_MS).added(0.0, 1000).added(1.0, 1000 + HOUR_MS)
    assert held.weight == 1.5
    assert held.mean == pytest.approx(2 / 3)


def test_what_comes_late_counts_with_its_age() -> None:
    held = DecayedMean(HOUR_MS).added(1.0, 1000 + HOUR_MS).added(0.0, 1000)
    assert (held.weight, held.as_of_ms) == (1.5, 1000 + HOUR_MS)
    assert held.mean == pytest.approx(2 / 3)


def test_time_alone_lowers_the_weight_and_keeps_mean_and_effective_count() -> None:
    held = DecayedMean(HOUR_MS).added(1.0, 0).added(0.0, 0)
    later = held.decayed_to(2 * HOUR_MS)
    assert (later.weight, later.mean, later.effective_count) == (0.5, 0.5, 2.0)


def test_without_a_value_nothing_is_known() -> None:
    assert (DecayedMean().mean, DecayedMean().effective_count, DecayedMean().interval()) == (None, 0, (-inf, inf))
    assert DecayedMean().added(1.0, 5).interval() == (-inf, inf)


@given(TRIALS)
def test_the_order_of_the_values_does_not_matter(trials: list[tuple[float, int]]) -> None:
    forth, back = DecayedMean(HOUR_MS), DecayedMean(HOUR_MS)
    for value, at_ms in trials:
        forth = forth.added(value, at_ms)
    for value, at_ms in reversed(trials):
        back = back.added(value, at_ms)
    assert forth.as_of_ms == back.as_of_ms
    assert (forth.weight, forth.total) == pytest.approx((back.weight, back.total))


def test_without_a_half_life_it_is_the_mean_and_its_normal_interval() -> None:
    values = [0.0, 1.0, 1.0, 0.0, 1.0]
    held = DecayedMean()
    for at_ms, value in enumerate(values):
        held = held.added(value, at_ms)
    half = 1.959964 * sqrt(variance(values) / len(values))
    assert held.effective_count == len(values)
    assert held.interval() == pytest.approx((fmean(values) - half, fmean(values) + half))


def test_a_paired_difference_shows_what_two_means_apart_do_not() -> None:
    first = [1.0, 0.6, 0.5, 0.9, 0.2, 1.0] * 10
    second = [value - 0.1 for value in first]
    low, high = paired_difference(first, second, range(60)).interval()
    assert (low, high) == pytest.approx((0.1, 0.1))


def test_a_paired_difference_refuses_unequal_numbers_of_events() -> None:
    with pytest.raises(ValueError, match="shorter"):
        paired_difference([1.0, 0.0], [1.0], [1, 2])
