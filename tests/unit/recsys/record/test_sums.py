"""A sum from which terms leave is the sum of those that are left, however many came and went."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.record.sums import change_sum, sum_of

terms = st.floats(min_value=1e-30, max_value=1e30)


@given(st.lists(terms, min_size=1, max_size=60), st.randoms(use_true_random=False), st.data())
def test_what_is_left_is_the_sum_of_what_stayed(added: list[float], rng: random.Random, data: st.DataObject) -> None:
    leaves = data.draw(st.lists(st.sampled_from(range(len(added))), unique=True))
    left = [term for place, term in enumerate(added) if place not in leaves]
    packed: bytes | None = None
    for term in added:
        packed = change_sum(packed, [term], 1)
    gone = [added[place] for place in leaves]
    rng.shuffle(gone)
    for term in gone:
        packed = change_sum(packed, [-term], -1)
    if packed is None:
        assert not left
    else:
        # Two doubles hold 106 bits: a term 1e-20 of one that left cannot be told apart any more.
        assert sum_of(packed) == pytest.approx(math.fsum(left), rel=1e-9, abs=1e-28 * max(added))
        assert len(packed) == 20


def test_a_million_differences_stay_within_one_part_in_a_billion() -> None:
    rng = random.Random(3)
    held = [0.0] * 500
    packed: bytes | None = None
    for _ in range(1_000_000):
        place = rng.randrange(500)
        after = 0.0 if rng.random() < 0.3 else 2.0 ** rng.uniform(0, 60)
        terms = [term for term in (-held[place], after) if term]
        packed = change_sum(packed, terms, bool(after) - bool(held[place]))
        held[place] = after
    assert packed is not None
    assert sum_of(packed) == pytest.approx(math.fsum(held), rel=1e-12)
    for place, term in enumerate(held):
        if term:
            assert packed is not None, place
            packed = change_sum(packed, [-term], -1)
    assert packed is None


def test_other_bytes_are_refused() -> None:
    with pytest.raises(ValueError, match="compensated sum"):
        sum_of(bytes(8))
    with pytest.raises(ValueError, match="compensated sum"):
        change_sum(bytes(8), [1.0], 1)
