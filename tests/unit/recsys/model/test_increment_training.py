"""The training step of an increment beside the same in NumPy, and its bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from recsys.model.increment import INPUTS, Increment
from tests.unit.stream.finetuning.reference import NumpyState, numpy_step

if TYPE_CHECKING:
    from recsys.model.increment_training import Examples

N, RANK, BATCH, DRAWN = 12, 3, 6, 5


def drawn(seed: int) -> Examples:
    from recsys.model.increment_training import Examples  # noqa: PLC0415 - TensorFlow

    rng = np.random.default_rng(seed)
    return Examples(
        projected=rng.normal(size=(BATCH, RANK)).astype(np.float32),
        gain=rng.normal(size=BATCH).astype(np.float32),
        courses=rng.integers(0, N, (BATCH, 1 + DRAWN)).astype(np.int32),
        base=rng.normal(size=(BATCH, 1 + DRAWN)).astype(np.float32),
        inputs=rng.normal(size=(BATCH, 1 + DRAWN, INPUTS)).astype(np.float32),
        log_q=rng.normal(size=(BATCH, 1 + DRAWN)).astype(np.float32),
        weight=np.array([1, 1, 1, 1, 0, 0], np.float32),
    )


def test_steps_are_those_of_numpy() -> None:
    from recsys.model.increment_training import IncrementTraining, OptimizerState  # noqa: PLC0415 - TensorFlow

    training = IncrementTraining(rates=(0.1, 0.1, 0.1), l2=1e-4, clip=1.0, bound=2.0)
    state, reference = OptimizerState.at(Increment.none(N, RANK)), NumpyState.at(Increment.none(N, RANK))
    for seed in range(5):
        state, loss = training.step(state, drawn(seed))
        reference, expected = numpy_step(reference, drawn(seed))
        assert loss == pytest.approx(expected, rel=1e-5)
    for found, wanted in zip(state.increment, reference.increment, strict=True):
        assert np.allclose(found, wanted, atol=1e-4)
        assert found.any()


def test_padding_teaches_nothing() -> None:
    from recsys.model.increment_training import IncrementTraining, OptimizerState  # noqa: PLC0415 - TensorFlow

    training = IncrementTraining(rates=(0.1, 0.1, 0.1), l2=0.0, clip=1.0, bound=2.0)
    some = drawn(0)
    other = some._replace(base=np.where(some.weight[:, None] > 0, some.base, 9.0).astype(np.float32))
    first, second = (training.step(OptimizerState.at(Increment.none(N, RANK)), each)[0] for each in (some, other))
    assert np.array_equal(first.increment.rows, second.increment.rows)


def test_no_number_leaves_its_bound() -> None:
    from recsys.model.increment_training import IncrementTraining, OptimizerState  # noqa: PLC0415 - TensorFlow

    training = IncrementTraining(rates=(10.0, 10.0, 10.0), l2=0.0, clip=1.0, bound=0.5)
    state = OptimizerState.at(Increment.none(N, RANK))
    for seed in range(4):
        state, _ = training.step(state, drawn(seed))
    assert max(np.abs(each).max() for each in state.increment) == pytest.approx(0.5)
