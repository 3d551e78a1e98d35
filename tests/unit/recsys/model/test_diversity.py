"""Re-ranking for diversity."""

from __future__ import annotations

import numpy as np

from recsys.model.diversity import capped, mmr

ALIKE = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], np.float32)
SCORES = np.array([4.0, 3.9, 3.0, 1.0], np.float32)


def test_weight_one_changes_nothing_and_less_passes_over_what_is_alike() -> None:
    assert mmr(SCORES, ALIKE, 4, weight=1.0) == [0, 1, 2, 3]
    assert mmr(SCORES, ALIKE, 3, weight=0.6) == [0, 2, 1]
    assert mmr(SCORES, ALIKE, 3, weight=0.3) == [0, 2, 3]


def test_equal_scores_and_short_pools_are_served() -> None:
    assert mmr(np.zeros(2, np.float32), np.eye(2, dtype=np.float32), 10, weight=0.5) == [0, 1]


def test_a_cap_keeps_the_order_and_fills_up_where_too_few_are_left() -> None:
    assert capped(["a", "a", "a", "b", ""], 4, most=2) == [0, 1, 3, 4]
    assert capped(["a", "a", "a", "b"], 4, most=1) == [0, 3, 1, 2]
    assert capped(["", "", ""], 2, most=1) == [0, 1]
