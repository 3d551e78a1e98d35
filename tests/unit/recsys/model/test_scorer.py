"""The ranking a worker and the API compute from a bundle."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.engagement import ForwardDecay
from recsys.model.bundle import Draft, write_bundle
from recsys.model.inputs import pool_engagement
from recsys.model.scorer import Scorer
from recsys.model.top_k import top_rows

NOW = 1_700_000_000_000
DAY = 86_400_000


def engaged(**weights: float) -> dict[str, float]:
    decay = ForwardDecay(30.0)
    return {course_id: decay.stored(weight, NOW) for course_id, weight in weights.items()}


def test_it_agrees_with_the_formula_written_out(scorer: Scorer, draft: Draft) -> None:
    a = {name: array.astype(np.float64) for name, array in draft.arrays.items()}
    engagement = engaged(c1=4.0, c2=1.0)
    weights = np.array([2.0, 1.0]) / 3.0  # square roots of 4 and 1
    pooled = weights @ a["history_vectors"][[1, 2]]
    strength = [np.log1p(5.0) / 5.0, np.log1p(2.0) / 5.0]
    features = np.concatenate([a["user_embeddings"][2], pooled, strength])
    hidden = np.maximum(features @ a["hidden_kernel"] + a["hidden_bias"], 0)
    expected = a["course_vectors"] @ (hidden @ a["output_kernel"] + a["output_bias"] + pooled) + a["course_bias"]
    for course, factor in ((1, 1.0), (2, 0.5)):
        for link in range(course * 3, course * 3 + 3):
            expected[int(a["wide_indices"][link])] += factor * a["wide_weights"][link]
    np.testing.assert_allclose(scorer.score("bob", engagement, at_ms=NOW), expected, rtol=1e-4, atol=1e-4)


def test_scores_do_not_increase_and_retired_and_excluded_courses_stay_out(scorer: Scorer) -> None:
    ids, scores = scorer.rank("ada", engaged(c1=3.0), at_ms=NOW, n=100, exclude={"c3", "unknown"})
    assert scores == sorted(scores, reverse=True)
    assert set(ids) == set(scorer.course_ids) - {"c7", "c3"}


def test_at_most_n_come_back_and_they_are_the_first_of_the_whole_ranking(scorer: Scorer) -> None:
    everything, _ = scorer.rank("ada", engaged(c1=3.0), at_ms=NOW, n=100)
    for n in (0, 1, 5):
        assert scorer.rank("ada", engaged(c1=3.0), at_ms=NOW, n=n)[0] == everything[:n]


def test_a_mask_allows_only_its_courses(scorer: Scorer) -> None:
    allowed = np.zeros(len(scorer.course_ids), dtype=bool)
    allowed[[2, 7, 9]] = True
    assert set(scorer.rank("ada", {}, at_ms=NOW, n=10, allowed=allowed)[0]) == {"c2", "c9"}


def test_an_event_changes_the_ranking_without_training(scorer: Scorer) -> None:
    before, _ = scorer.rank("stranger", {}, at_ms=NOW, n=10)
    after, _ = scorer.rank("stranger", engaged(c5=5.0), at_ms=NOW, n=10)
    assert before
    assert before != after


def test_courses_and_sums_the_model_does_not_know_are_ignored(scorer: Scorer) -> None:
    odd = {"gone": 3.0, "c4": float("nan"), "c5": float("inf"), "c6": -2.0, "c8": 0.0}
    assert scorer.rank("ada", odd, at_ms=NOW, n=5) == scorer.rank("ada", {}, at_ms=NOW, n=5)


def test_only_the_most_engaged_courses_are_pooled() -> None:
    rows = np.arange(10, dtype=np.int32)
    pool = pool_engagement(rows, rows.astype(np.float64) + 1.0, at_ms=NOW, half_life_days=30, power=0.5, length=5)
    assert pool.rows.tolist() == [9, 8, 7, 6, 5]


@given(st.lists(st.floats(1e-300, 1e300), min_size=1, max_size=20), st.integers(946_684_800_000, 4_102_444_800_000))
def test_pooling_weights_sum_to_one_over_a_doubles_whole_span(stored: list[float], at_ms: int) -> None:
    pool = pool_engagement(
        np.arange(len(stored), dtype=np.int32), np.array(stored), at_ms=at_ms, half_life_days=7.5, power=0.5, length=50
    )
    assert pool.weights.sum() == pytest.approx(1.0, abs=1e-5)
    assert np.isfinite(pool.strength).all()


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30), st.integers(0, 35))
def test_top_rows_equal_a_full_stable_sort(values: list[int], n: int) -> None:
    scores = np.array(values, dtype=np.float32)
    scores[scores == 0] = -np.inf
    expected = [row for row in np.argsort(-scores, kind="stable").tolist() if np.isfinite(scores[row])][:n]
    assert top_rows(scores, n) == expected


def test_a_catalogue_without_item_item_weights_is_ranked_too(draft: Draft, tmp_path: Path) -> None:
    empty = {"wide_indices": np.zeros(0, np.int32), "wide_weights": np.zeros(0, np.float32)}
    arrays = {**draft.arrays, **empty, "wide_indptr": np.zeros(41, np.int64)}
    scorer = Scorer.load(write_bundle(tmp_path, replace(draft, arrays=arrays)))
    assert len(scorer.rank("ada", engaged(c1=1.0), at_ms=NOW, n=5)[0]) == 5


def test_the_scorer_is_imported_without_tensorflow() -> None:
    code = "import sys, recsys.model.scorer; print([m for m in ('tensorflow', 'keras', 'pandas') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.strip() == "[]"
