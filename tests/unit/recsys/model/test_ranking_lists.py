"""Lists that weights are learned from: their candidates, the slope of the cost, and the curvature."""

from __future__ import annotations

import numpy as np
import pytest

from recsys.model.inputs import Floats
from recsys.model.ranking_lists import (
    MOST_EXTRA,
    NEVER,
    RankingLists,
    candidates,
    cost,
    curvature,
    sizes,
)

WIDTH = 5


def lists(count: int = 150, candidates_of_each: int = 40) -> RankingLists:
    """More than are looked at at a time; some candidates were drawn, some are none."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(count, candidates_of_each, WIDTH)).astype(np.float32)
    base = rng.normal(size=inputs.shape[:2]).astype(np.float32)
    labels = (rng.random(base.shape) < 0.1).astype(np.float32)
    labels[:, 0] = 1.0
    labels[0, :20] = 1.0  # more than count in the smooth NDCG
    log_inverse = np.zeros(base.shape, np.float32)
    log_inverse[:, 30:35], log_inverse[:, 35:] = 2.0, NEVER
    labels[:, 35:] = 0.0
    return RankingLists(inputs, base, labels, log_inverse)


def test_the_gradient_is_the_slope_of_the_cost() -> None:
    at, step = np.random.default_rng(1).normal(size=WIDTH), 1e-2
    some = lists()
    _, gradient = cost(some, at)
    for place in range(WIDTH):
        moved = step * np.eye(WIDTH)[place]
        slope = (cost(some, at + moved)[0] - cost(some, at - moved)[0]) / (2 * step)
        assert gradient[place] == pytest.approx(slope, rel=2e-2, abs=2e-4)


def test_a_list_in_the_right_order_costs_less_than_one_in_the_wrong() -> None:
    some = lists()
    right = some._replace(base=10 * some.labels)
    wrong = some._replace(base=-10 * some.labels)
    assert cost(right, np.zeros(WIDTH))[0] < cost(some, np.zeros(WIDTH))[0] < cost(wrong, np.zeros(WIDTH))[0]


def test_the_curvature_is_the_slope_of_the_slope_of_the_cross_entropy() -> None:
    some, step = lists(), 1e-2

    def slope(at: np.ndarray) -> np.ndarray:
        logits = some.base + some.inputs @ at + some.log_inverse
        share = np.exp(logits - logits.max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)
        wanted = some.labels / some.labels.sum(axis=1, keepdims=True)
        found: np.ndarray = np.einsum("lcf,lc->f", some.inputs, share - wanted) / len(some.base)
        return found

    expected = [(slope(step * each) - slope(-step * each)) / (2 * step) for each in np.eye(WIDTH)]
    np.testing.assert_allclose(curvature(some), expected, atol=2e-3)


def drawn(base: Floats, hidden: list[int], labels: list[int]) -> tuple[np.ndarray, np.ndarray]:
    return candidates(base, np.array(hidden, np.int32), np.array(labels, np.int32), np.random.default_rng(0))


def test_candidates_are_the_best_some_others_and_all_positives() -> None:
    base = np.arange(1000.0, 0.0, -1.0).astype(np.float32)
    best, others = sizes(1000)
    rows, log_inverse = drawn(base, [0, 1], [999, 5])
    assert {*range(2, best + 2)} <= set(rows.tolist())
    assert {5, 999} <= set(rows.tolist())
    assert not {0, 1} & set(rows.tolist())
    assert len(rows) == len(set(rows.tolist())) <= best + others + 1
    weights = dict(zip(rows.tolist(), log_inverse.tolist(), strict=True))
    assert weights[5] == weights[999] == weights[2] == 0.0
    assert max(weights.values()) == pytest.approx(np.log((998 - best) / others))  # of those drawn


def test_no_candidate_is_one_that_the_list_cannot_hold() -> None:
    """In a small catalogue they fill places, and count for nothing there."""
    base = np.full(8, -np.inf, np.float32)
    base[:3] = 1.0
    rows, log_inverse = drawn(base, [2], [0])
    assert {row for row, weight in zip(rows.tolist(), log_inverse.tolist(), strict=True) if weight > NEVER} == {0, 1}


def test_positives_beyond_the_bound_are_left_out_by_chance() -> None:
    base = np.arange(1000.0, 0.0, -1.0).astype(np.float32)
    labels = [*range(400, 1000)]
    rows, _ = drawn(base, [], labels)
    best, others = sizes(1000)
    assert len(rows) == best + others + MOST_EXTRA
    extra = rows[best + others :]
    assert extra.min() < 500  # neither the first ones alone
    assert extra.max() >= 900  # nor the last


def test_a_positive_that_was_drawn_stands_for_itself_alone() -> None:
    base = np.arange(1000.0, 0.0, -1.0).astype(np.float32)
    best, _ = sizes(1000)
    _, log_inverse = drawn(base, [], [*range(best, 1000)])  # all others are positives
    assert not log_inverse.any()
