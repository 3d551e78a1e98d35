"""Popularity that forgets: any half-life for ever, and places that count ties against it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.monitor.popularity import Popularity

HOUR_MS = 3_600_000


def with_touches(*touches: tuple[str, int]) -> Popularity:
    popularity = Popularity(HOUR_MS)
    for course, at_ms in touches:
        popularity.add(course, at_ms)
    return popularity


def test_a_touch_of_an_hour_ago_counts_half() -> None:
    popularity = with_touches(("a", 0), ("a", 0), ("a", 0), ("b", HOUR_MS), ("c", HOUR_MS), ("c", HOUR_MS))
    assert [popularity.place(course) for course in "abc"] == [2, 3, 1]


def test_equal_courses_count_against_each_other_and_excluded_ones_not_at_all() -> None:
    popularity = with_touches(("a", 0), ("b", 0), ("c", 0))
    assert popularity.place("a") == 3
    assert popularity.place("a", {"b", "unknown"}) == 2
    assert popularity.place("a", {"a"}) is None
    assert popularity.place("unknown") is None


@pytest.mark.parametrize("years", [1, 40])
def test_after_any_number_of_half_lives_the_new_ones_win(years: int) -> None:
    later = years * 365 * 24 * HOUR_MS
    popularity = with_touches(*[("old", 0)] * 50, ("new", later), ("new", later + HOUR_MS))
    assert (popularity.place("new"), popularity.place("old")) == (1, 2)


TOUCHES = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 3000 * HOUR_MS)), min_size=1, max_size=30)


@given(TOUCHES)
def test_places_are_those_of_the_decayed_sums_whatever_the_order(touches: list[tuple[str, int]]) -> None:
    now = max(at_ms for _, at_ms in touches)
    sums = {course: sum(2 ** ((at - now) / HOUR_MS) for each, at in touches if each == course) for course, _ in touches}
    popularity = with_touches(*touches)
    for course, total in sums.items():
        place = popularity.place(course)
        assert place is not None
        # Sums that are equal but for rounding, or have faded to nothing beside others, may be in either order.
        surely_above = sum(other > total * (1 + 1e-9) for each, other in sums.items() if each != course)
        perhaps_above = sum(other > total * (1 - 1e-9) - 1e-140 for each, other in sums.items() if each != course)
        assert surely_above <= place - 1 <= perhaps_above


def test_more_courses_than_it_began_with() -> None:
    popularity = with_touches(*((f"c{n}", 0) for n in range(3000)), ("c2999", 0))
    assert popularity.place("c2999") == 1
