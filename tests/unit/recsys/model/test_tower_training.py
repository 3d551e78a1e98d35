"""Training of the towers: the softmax over the whole catalogue, and the sampled one of a large catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from recsys.model.history import POOLS
from recsys.model.hyperparameters import HyperParameters
from recsys.model.inputs import STRENGTH_DIM, CourseFeatures
from recsys.model.mixed_negatives import Candidates
from recsys.model.tower_inputs import TowerInputs
from recsys.process.native_logs import import_tensorflow

if TYPE_CHECKING:
    from recsys.model.training import TowerTraining

EXAMPLES, TAKEN, COURSES, LENGTH = 80, 60, 600, 4
Learned = tuple[list[float], dict[str, NDArray[np.float32]]]
QUIET = HyperParameters(
    vector_dim=8, user_dim=4, hidden=8, text_dim=6, dropout=0.0, unknown_user_rate=0.0, unknown_course_rate=0.0,
    no_history_rate=0.0,
)  # fmt: skip
"""Nothing is hidden at random."""


def _training(courses: int, **bounds: int) -> TowerTraining:
    import_tensorflow(quiet=True)
    import keras  # noqa: PLC0415 - after TensorFlow, slow

    from recsys.model.towers import HybridTowers  # noqa: PLC0415 - TensorFlow
    from recsys.model.training import TowerTraining  # noqa: PLC0415 - TensorFlow

    rng = np.random.default_rng(1)
    features = CourseFeatures(
        np.arange(1, courses + 1, dtype=np.int32),
        rng.normal(size=(courses, QUIET.text_dim)).astype(np.float32),
        rng.normal(size=(courses, 2)).astype(np.float32),
    )
    keras.utils.set_random_seed(0)
    return TowerTraining(HybridTowers(QUIET, n_users=9, features=features), QUIET, **bounds)


def _inputs(courses: int) -> TowerInputs:
    """Everything happens among the first `TAKEN` courses, and every example has a target."""
    rng = np.random.default_rng(2)
    wanted = np.zeros((EXAMPLES, TAKEN), dtype=bool)
    wanted[np.arange(EXAMPLES), rng.integers(0, TAKEN, EXAMPLES)] = True
    known = (rng.random((EXAMPLES, TAKEN)) < 0.1) & ~wanted
    pools = rng.random((EXAMPLES, LENGTH, POOLS))
    return TowerInputs(
        user=rng.integers(0, 10, EXAMPLES).astype(np.int32),
        rows=rng.integers(0, TAKEN, (EXAMPLES, LENGTH)).astype(np.int32),
        pools=(pools / pools.sum(axis=1, keepdims=True)).astype(np.float32),
        strength=rng.random((EXAMPLES, STRENGTH_DIM)).astype(np.float32),
        targets=_wide(wanted, courses),
        known=_wide(known, courses),
        popularity=rng.normal(size=(3, courses, 4)).astype(np.float32),
        bucket=rng.integers(0, 3, EXAMPLES).astype(np.int32),
    )


def _wide(pairs: NDArray[np.bool_], courses: int) -> sparse.csr_array:
    row, column = np.nonzero(pairs)
    return sparse.csr_array((np.ones(len(row), np.float32), (row, column)), shape=(len(pairs), courses))


def _learned(training: TowerTraining) -> Learned:
    """Its loss in each of two steps, and what the variables then are."""
    curve = training.run(_inputs(COURSES), epochs=1)
    return curve, {variable.path: variable.value.numpy() for variable in training.towers.trainable_variables}


@pytest.fixture(scope="module")
def full() -> Learned:
    """What the full softmax learns."""
    return _learned(_training(COURSES))


def test_sampling_all_courses_learns_what_the_full_softmax_learns(full: Learned) -> None:
    """Two ways to the same loss: every course is a candidate, with chance 1."""
    curve, learned = _learned(_training(COURSES, full_softmax_courses=0, drawn=COURSES))
    assert curve == pytest.approx(full[0], rel=1e-4)
    for name, values in learned.items():
        if not name.endswith("/id"):  # histories do not name every course in each step
            np.testing.assert_allclose(values, full[1][name], atol=2e-4, err_msg=name)


def test_a_sampled_loss_is_near_that_of_the_full_softmax(full: Learned) -> None:
    """With a tenth of the courses drawn, twice with one seed: without logQ it would be lower by far."""
    runs = [_learned(_training(COURSES, full_softmax_courses=0, drawn=60)) for _ in range(2)]
    assert runs[0][0] == pytest.approx(full[0], rel=0.03)
    assert runs[0][0] == runs[1][0]
    for name, values in runs[0][1].items():
        np.testing.assert_array_equal(values, runs[1][1][name])


def test_a_bias_that_is_seldom_a_candidate_is_penalised_for_those_it_stands_for() -> None:
    training = _training(COURSES, full_softmax_courses=0, drawn=60)

    def penalty(size: float, chance: float) -> float:
        candidates = Candidates(np.arange(8, dtype=np.int32), np.full(8, np.log(chance), np.float32))
        return float(training._penalty(np.full((8, 1), size, np.float32), candidates))

    of_all_else = penalty(0.0, 1.0)
    assert penalty(10.0, 0.25) - of_all_else == pytest.approx(4 * (penalty(10.0, 1.0) - of_all_else), rel=1e-3)


@pytest.mark.parametrize(("courses", "all_move"), [(10_000, True), (10_001, False)])
def test_above_ten_thousand_courses_a_step_moves_those_it_drew(courses: int, all_move: bool) -> None:
    """Of embeddings and biases of courses; up to there it moves all."""
    training = _training(courses)
    before = [table.value.numpy() for table in training.towers.course_tables]
    training.run(_inputs(courses), epochs=1)
    for table, start in zip(training.towers.course_tables[1:], before[1:], strict=True):  # histories name few courses
        moved = float((table.value.numpy() != start).any(axis=1).mean())
        assert moved > 0.99 if all_move else 0.05 < moved < 0.4
