"""Ranking a batch: the lists that each learner would get alone, whatever else is in the batch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from recsys.model import scorer as scorer_module
from recsys.model.bundle import Draft, write_bundle
from recsys.model.scorer import Learner, Scorer
from recsys.model.top_k import GROUP, LEAST_GROUPS, top_k
from tests.unit.recsys.model.conftest import N_COURSES

NOW = 1_700_000_000_000
courses = st.sampled_from([f"c{number}" for number in range(N_COURSES)] + ["gone"])
sums = st.one_of(st.sampled_from([0.0, -1.0, 4.0, float("inf"), float("nan")]), st.floats(1e-300, 1e300))
learners = st.builds(
    Learner,
    st.sampled_from(["ada", "bob", "stranger"]),
    st.dictionaries(courses, sums, max_size=12),
    st.sets(courses, max_size=N_COURSES),
)


@pytest.fixture
def twins(draft: Draft, tmp_path: Path) -> Scorer:
    """A catalogue in which every course has a twin with the same vectors, bias and item-item weights: all tie."""
    arrays = dict(draft.arrays)
    for name in ("course_vectors", "course_bias"):
        arrays[name] = np.tile(arrays[name][: N_COURSES // 2], (2, 1) if arrays[name].ndim == 2 else 2)
    arrays["wide_indices"] = np.arange(N_COURSES * 2, dtype=np.int32) % N_COURSES
    arrays["wide_indptr"] = np.arange(N_COURSES + 1, dtype=np.int64) * 2
    arrays["wide_weights"] = np.ones(N_COURSES * 2, np.float32)
    return Scorer.load(write_bundle(tmp_path / "twins", replace(draft, arrays=arrays)))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(learners, max_size=9), st.integers(0, N_COURSES + 3))
def test_a_batch_gives_each_learner_the_list_of_a_batch_of_one(
    scorer: Scorer, twins: Scorer, batch: list[Learner], n: int
) -> None:
    for ranker in (scorer, twins):
        together = ranker.rank_many(batch, at_ms=NOW, n=n)
        alone = [ranker.rank(one.user_id, one.engagement, at_ms=NOW, n=n, exclude=one.exclude) for one in batch]
        assert together == alone


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(learners, min_size=1, max_size=5))
def test_the_lists_are_the_best_of_all_scores_in_order_and_ties_fall_by_course(
    scorer: Scorer, batch: list[Learner]
) -> None:
    for learner, (ids, scores) in zip(batch, scorer.rank_many(batch, at_ms=NOW, n=10), strict=True):
        affinity = dict(
            zip(scorer.course_ids, scorer.score(learner.user_id, learner.engagement, at_ms=NOW), strict=True)
        )
        offered = [course for course in scorer.course_ids if course != "c7" and course not in learner.exclude]
        np.testing.assert_allclose(scores, [affinity[course] for course in ids], rtol=1e-6, atol=1e-5)
        assert scores == sorted(scores, reverse=True)
        worst = min(scores, default=np.inf)
        assert len(ids) == min(10, len(offered))
        assert all(affinity[course] <= worst + 1e-5 for course in set(offered) - set(ids))


def test_of_two_courses_with_equal_scores_the_earlier_comes_first(twins: Scorer) -> None:
    ((ids, scores),) = twins.rank_many([Learner("ada", {})], at_ms=NOW, n=N_COURSES)
    places = {course: place for place, course in enumerate(ids)}
    half = N_COURSES // 2
    pairs = [(f"c{row}", f"c{row + half}") for row in range(half) if row != 7]
    assert all(places[early] + 1 == places[late] for early, late in pairs)
    assert all(scores[places[early]] == scores[places[late]] for early, late in pairs)


def test_slices_are_not_seen_in_the_lists(scorer: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = [Learner("ada", {f"c{number}": 1.0 + number}, {f"c{number + 1}"}) for number in range(20)]
    whole = scorer.rank_many(batch, at_ms=NOW, n=5)
    monkeypatch.setattr(scorer_module, "MAX_CELLS", 3 * N_COURSES)
    assert scorer.rank_many(batch, at_ms=NOW, n=5) == whole


def test_nobody_gets_no_list(scorer: Scorer) -> None:
    assert scorer.rank_many([], at_ms=NOW, n=5) == []


def check_top_k(scores: NDArray[np.float32], k: int) -> None:
    """Against a full stable sort of each row."""
    found = top_k(scores, k)
    start = 0
    for row, count in zip(scores, found.counts.tolist(), strict=True):
        ranked = np.where(np.isfinite(row), row, -np.inf)
        expected = [c for c in np.argsort(-ranked, kind="stable").tolist() if np.isfinite(row[c])][:k]
        assert found.columns[start : start + count].tolist() == expected
        assert found.scores[start : start + count].tolist() == row[expected].tolist()
        start += count
    assert start == len(found.columns)


@given(
    st.lists(st.lists(st.sampled_from([0, 1, 2, 3, 9]), min_size=6, max_size=6), min_size=1, max_size=5),
    st.integers(0, 8),
)
def test_top_k_of_each_row_equals_a_full_stable_sort(values: list[list[int]], k: int) -> None:
    scores = np.array(values, dtype=np.float32)
    scores[scores == 0] = -np.inf
    scores[scores == 9] = np.nan
    check_top_k(scores, k)


@given(
    st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 6), st.integers(0, 9), st.sampled_from([2, 50, 10_000])
)
def test_so_it_does_among_many_columns(seed: int, rows: int, k: int, over: int, values: int) -> None:
    """Enough columns for the look at groups of them, and up to nine that fill no group; few values make many ties."""
    rng = np.random.default_rng(seed)
    columns = LEAST_GROUPS * k * GROUP + over
    scores = rng.integers(0, values, (rows, columns)).astype(np.float32)
    scores[:, rng.random(columns) < rng.random()] = -np.inf
    check_top_k(scores, k)
    scores[0, rng.integers(0, columns)] = np.nan
    check_top_k(scores, k)


def test_a_cell_that_rounding_put_below_the_last_place_is_found_by_its_exact_score() -> None:
    rounded = np.array([[3.0, 1.0, 0.99, 0.5]], np.float32)
    exact = np.array([[3.0, 1.0, 1.01, 0.5]], np.float32)
    found = top_k(rounded, 2, slack=0.05, exact=lambda rows, columns: exact[rows, columns])
    assert found.columns.tolist() == [0, 2]
    assert found.scores.tolist() == exact[0, [0, 2]].tolist()
