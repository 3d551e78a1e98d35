"""The training step once more, in NumPy: what the TensorFlow step is compared with, and what is killed in a test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from recsys.model.increment import Increment


class NumpyState(NamedTuple):
    """As `recsys.model.increment_training.OptimizerState`, without TensorFlow."""

    increment: Increment
    bias_squares: Any
    rows_squares: Any

    @classmethod
    def at(cls, increment: Increment) -> Self:
        return cls(increment, np.full_like(increment.bias, 0.1), np.full_like(increment.rows, 0.1))


def numpy_step(
    state: Any, columns: Sequence[Any], *, rate: float = 0.1, l2: float = 1e-4, clip: float = 1.0, bound: float = 2.0
) -> tuple[Any, float]:
    """One step of Adagrad on the sampled softmax, as `recsys.model.increment_training` has it."""
    projected, gain, courses, base, log_q, weight = (np.asarray(column, np.float64) for column in columns)
    places = courses.astype(int)
    bias, rows = state.increment.bias.astype(np.float64), state.increment.rows.astype(np.float64)
    moved = bias[places] + (rows[places] * projected[:, None]).sum(2)
    logits = base + gain[:, None] * moved - log_q
    logits -= logits.max(axis=1, keepdims=True)
    shares = np.exp(logits)
    shares /= shares.sum(axis=1, keepdims=True)
    total = max(weight.sum(), 1.0)
    loss = -(np.log(shares[:, 0]) * weight).sum() / total
    shares[:, 0] -= 1.0
    of_cell = shares * (weight * gain)[:, None] / total
    of_bias, of_rows = 2 * l2 * bias, 2 * l2 * rows
    np.add.at(of_bias, places, of_cell)
    np.add.at(of_rows, places, of_cell[:, :, None] * projected[:, None])
    norm = float(np.sqrt((of_bias**2).sum() + (of_rows**2).sum()))
    scale = min(1.0, clip / norm) if norm > 0 else 1.0
    of_bias, of_rows = of_bias * scale, of_rows * scale
    bias_squares, rows_squares = state.bias_squares + of_bias**2, state.rows_squares + of_rows**2
    bias = np.clip(bias - rate * of_bias / np.sqrt(bias_squares + 1e-7), -bound, bound)
    rows = np.clip(rows - rate * of_rows / np.sqrt(rows_squares + 1e-7), -bound, bound)
    after = Increment(bias.astype(np.float32), rows.astype(np.float32))
    return state._replace(
        increment=after,
        bias_squares=bias_squares.astype(np.float32),
        rows_squares=rows_squares.astype(np.float32),
    ), float(loss)
