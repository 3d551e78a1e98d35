"""The training step once more, in NumPy: what the TensorFlow step is compared with, and what is killed in a test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from recsys.model.increment import Increment

FIRST = 1e-3
"""Adagrad's sums at first; those of `recsys.model.increment_training.FIRST_ACCUMULATED`."""


class NumpyState(NamedTuple):
    """As `recsys.model.increment_training.OptimizerState`, without TensorFlow."""

    increment: Increment
    squares: Increment

    @classmethod
    def at(cls, increment: Increment) -> Self:
        return cls(increment, Increment(*(np.full_like(each, FIRST) for each in increment)))


def numpy_step(
    state: Any, columns: Sequence[Any], *, rate: float = 0.1, l2: float = 1e-4, clip: float = 1.0, bound: float = 2.0
) -> tuple[Any, float]:
    """One step of Adagrad on the sampled softmax, as `recsys.model.increment_training` has it."""
    projected, gain, courses, base, inputs, log_q, weight = (np.asarray(column, np.float64) for column in columns)
    places = courses.astype(int)
    held = [each.astype(np.float64) for each in state.increment]
    bias, rows, weights = held
    moved = bias[places] + (rows[places] * projected[:, None]).sum(2)
    logits = base + gain[:, None] * moved + inputs @ weights - log_q
    logits -= logits.max(axis=1, keepdims=True)
    shares = np.exp(logits)
    shares /= shares.sum(axis=1, keepdims=True)
    total = max(weight.sum(), 1.0)
    loss = -(np.log(shares[:, 0]) * weight).sum() / total
    shares[:, 0] -= 1.0
    of_score = shares * weight[:, None] / total
    of_cell = of_score * gain[:, None]
    gradients = [2 * l2 * each for each in held]
    np.add.at(gradients[0], places, of_cell)
    np.add.at(gradients[1], places, of_cell[:, :, None] * projected[:, None])
    gradients[2] += (of_score[:, :, None] * inputs).sum((0, 1))
    after, squares = [], []
    for value, square, gradient in zip(held, state.squares, gradients, strict=True):
        norm = float(np.sqrt((gradient**2).sum()))
        clipped = gradient * (min(1.0, clip / norm) if norm > 0 else 1.0)
        squares.append(square + clipped**2)
        after.append(np.clip(value - rate * clipped / np.sqrt(squares[-1] + 1e-7), -bound, bound))
    made = [Increment(*(each.astype(np.float32) for each in values)) for values in (after, squares)]
    return state._replace(increment=made[0], squares=made[1]), float(loss)
