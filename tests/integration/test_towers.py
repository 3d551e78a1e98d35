"""The comparison of the towers' training with Keras `fit` runs, on a small history."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.towers import ALL, IALS, ONE, RETRAIN, compare
from tests.doubles.two_subjects import QUICK, RULE, draw_courses, draw_events

# Keras 3.15.1 saves and sets weights through an `__array__` that NumPy 2.4 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def test_every_way_learns_from_the_same_pairs() -> None:
    """A sample of `fit` with one target is a pair, and every other an example with all of its pairs."""
    found = compare(draw_events(), draw_courses(), RULE, replace(QUICK, max_examples=256), passes=(1, 1))
    assert list(found.by_name) == [RETRAIN, ALL, ONE, IALS]
    assert found.examples < found.pairs
    pairs_a_sample = [found.by_name[name].pairs_per_s / found.by_name[name].samples_per_s for name in (ALL, ONE)]
    assert pairs_a_sample == pytest.approx([found.pairs / found.examples, 1.0])
    assert all(len(each.ndcg) == len(found.by_name[RETRAIN].ndcg) > 0 for each in found.by_name.values())
