"""What is drawn for a step stands, by its chance, for the whole catalogue."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import sparse

from recsys.model.inputs import Doubles
from recsys.model.mixed_negatives import MixedNegatives

TARGETS = sparse.csr_array(
    np.array([[1, 0, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0], [1, 0, 1, 0, 0, 0, 0], [0, 1, 0, 1, 0, 0, 0]] * 2, np.bool_)
)
"""Of eight examples and seven courses, three of which are no target."""

EXAMPLES, COURSES = TARGETS.shape


@pytest.mark.parametrize("batch", [1, 3, EXAMPLES])
def test_the_chance_is_that_of_the_batches_there_are(batch: int) -> None:
    """By going through all batches of an example, and what a draw of the catalogue then adds."""
    chance = _chance(MixedNegatives(TARGETS, batch=batch, drawn=2))
    dense = TARGETS.toarray()
    for example in range(EXAMPLES):
        others = [each for each in range(EXAMPLES) if each != example]
        among = np.mean([dense[list(some)].any(axis=0) for some in combinations(others, batch - 1)], axis=0)
        negatives = ~dense[example]
        expected = 1 - (1 - among) * (1 - 2 / COURSES)
        np.testing.assert_allclose(chance[negatives], expected[negatives], rtol=1e-6)


def test_the_partition_function_is_estimated_without_bias() -> None:
    """The mean over many batches comes to the softmax's own, for an example with and without popular targets."""
    rng = np.random.default_rng(0)
    weights, dense = np.exp(rng.normal(size=COURSES) * 1.5), TARGETS.toarray()
    negatives = MixedNegatives(TARGETS, batch=3, drawn=2)
    sums: dict[int, list[float]] = {example: [] for example in range(EXAMPLES)}
    for _ in range(6000):
        chosen = rng.permutation(EXAMPLES)[:3]
        candidates = negatives.draw(chosen, rng)
        for example in chosen:
            own = dense[example, candidates.rows]
            estimated = weights[candidates.rows] * np.where(own, 1.0, np.exp(-candidates.log_chance))
            sums[int(example)].append(float(estimated.sum()))
    for found in sums.values():
        error = np.std(found) / np.sqrt(len(found))
        assert abs(np.mean(found) - weights.sum()) < 4 * error
        assert error < 0.02 * weights.sum()  # so the line above can fail


def test_a_step_looks_at_the_targets_of_its_batch_and_at_drawn_courses() -> None:
    negatives = MixedNegatives(TARGETS, batch=2, drawn=2)
    seen = np.zeros(COURSES, dtype=bool)
    for seed in range(20):
        rows, log_chance = negatives.draw(np.array([0, 3]), np.random.default_rng(seed))
        assert {0, 1, 3} <= set(rows.tolist())
        assert len(rows) <= 5
        assert (np.diff(rows) > 0).all()
        assert len(log_chance) == len(rows)
        seen[rows] = True
    assert seen.all()


def test_one_seed_draws_the_same_courses() -> None:
    negatives = MixedNegatives(TARGETS, batch=2, drawn=3)
    drawn = [negatives.draw(np.array([1, 2]), np.random.default_rng(seed)).rows.tolist() for seed in (5, 5, 6)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_where_all_courses_are_drawn_each_stands_for_itself() -> None:
    candidates = MixedNegatives(TARGETS, batch=2, drawn=100).draw(np.array([0, 1]), np.random.default_rng(0))
    np.testing.assert_array_equal(candidates.rows, np.arange(COURSES))
    np.testing.assert_array_equal(candidates.log_chance, 0.0)


def _chance(negatives: MixedNegatives) -> Doubles:
    """Of each course to be a candidate, from draws: the log chances of those that some of them name."""
    rng, chance = np.random.default_rng(0), np.full(COURSES, np.nan)
    for example in range(EXAMPLES):
        for _ in range(10):
            rows, log_chance = negatives.draw(np.array([example]), rng)
            chance[rows] = np.exp(log_chance)
    assert not np.isnan(chance).any()
    return chance
