"""Ranking metrics and their intervals, by hand and by slower ways."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.metrics import bootstrap, ndcg_at, paired_bootstrap, ranks, recall_at, reciprocal_rank


@given(st.lists(st.integers(0, 5), min_size=2, max_size=20), st.data())
def test_ranks_equal_a_sort_that_puts_the_irrelevant_first_among_equals(values: list[int], data: st.DataObject) -> None:
    scores = np.array(values, np.float32)
    relevant = np.array(sorted(data.draw(st.sets(st.integers(0, len(values) - 1), min_size=1))), np.int32)
    is_relevant = np.isin(np.arange(len(values)), relevant)
    order = np.lexsort((is_relevant, -scores))
    expected = np.flatnonzero(is_relevant[order]) + 1
    assert ranks(scores, relevant, np.ones(len(values), dtype=bool)).tolist() == expected.tolist()


def test_a_model_that_scores_all_alike_finds_nothing() -> None:
    places = ranks(np.zeros(100, np.float32), np.array([3, 7], np.int32), np.ones(100, dtype=bool))
    assert places.tolist() == [99, 100]
    assert ndcg_at(places, 10) == recall_at(places, 10) == 0.0


def test_a_score_that_is_no_number_is_the_worst() -> None:
    scores = np.array([1.0, np.nan, 0.5], np.float32)
    assert ranks(scores, np.array([1], np.int32), np.ones(3, dtype=bool)).tolist() == [3]


def test_a_relevant_course_that_may_not_be_shown_is_never_found() -> None:
    places = ranks(np.array([3.0, 2.0], np.float32), np.array([0], np.int32), np.array([False, True]))
    assert places.tolist() == [np.inf]
    assert reciprocal_rank(places) == 0.0


def test_metrics_by_hand() -> None:
    places = np.array([1.0, 3.0, 50.0])
    assert recall_at(places, 10) == pytest.approx(2 / 3)
    ideal = 1 + 1 / np.log2(3) + 1 / 2
    assert ndcg_at(places, 10) == pytest.approx((1 + 1 / 2) / ideal)
    assert reciprocal_rank(places) == 1.0


def test_a_bootstrap_interval_covers_the_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = [low <= 0.5 <= high for _, low, high in (bootstrap(rng.random(200), seed=i) for i in range(100))]
    assert 85 <= sum(hits) <= 100


def test_a_paired_bootstrap_sees_a_small_steady_gain() -> None:
    rng = np.random.default_rng(0)
    other = rng.random(300)
    mine = other + 0.01 + rng.normal(scale=0.01, size=300)
    assert paired_bootstrap(mine, other, seed=0).low > 0
    unpaired = bootstrap(mine, seed=0)
    assert unpaired.low < other.mean() < unpaired.high
