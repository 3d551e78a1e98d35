"""The training step of an increment: a `tf.function` of fixed shapes, state in and state out, so it can be undone.

Sampled softmax with the logQ correction (Jean and others, 2015; Yi and others, RecSys 2019), clipped gradients, Adagrad
(Duchi, Hazan, Singer, 2011), a penalty toward the parent, and a bound. Scores are linear in the increment, so the
penalty on its squares is a distillation toward the parent's scores, at no second softmax; the loss is convex.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from recsys.model.increment import Increment
from recsys.model.inputs import Floats, Rows

_FIRST_ACCUMULATED = 0.1
_SMALLEST = 1e-7


class Examples(NamedTuple):
    """`b` examples of a positive course, in column 0, and `k` drawn ones.

    Attributes:
        projected: p(u) `(b, rank)`.
        gain: `IncrementModel.gain` `(b,)`.
        courses: Course rows `(b, 1 + k)`.
        base: The parent's scores `(b, 1 + k)`.
        log_q: Log of how often each is expected among `k` draws `(b, 1 + k)`; large where it must not count.
        weight: Of each example `(b,)`; 0 for padding.
    """

    projected: Floats
    gain: Floats
    courses: Rows
    base: Floats
    log_q: Floats
    weight: Floats


class OptimizerState(NamedTuple):
    """An increment in training.

    Attributes:
        increment: As it is.
        bias_squares: Adagrad's sums `(n,)`.
        rows_squares: The same `(n, rank)`.
    """

    increment: Increment
    bias_squares: Floats
    rows_squares: Floats

    @classmethod
    def at(cls, increment: Increment) -> OptimizerState:
        """A fresh optimizer at an increment."""
        return cls(
            increment,
            np.full_like(increment.bias, _FIRST_ACCUMULATED),
            np.full_like(increment.rows, _FIRST_ACCUMULATED),
        )


class IncrementTraining:
    """Training steps over batches of one shape.

    Args:
        learning_rate: Adagrad's.
        l2: Of the squared increment, toward the parent.
        clip: Largest norm of a step's gradient.
        bound: Largest size of a number of the increment.
    """

    def __init__(self, *, learning_rate: float, l2: float, clip: float, bound: float) -> None:
        self._rate, self._l2, self._clip, self._bound = learning_rate, l2, clip, bound
        self._step = tf.function(self._one, reduce_retracing=True)

    def step(self, state: OptimizerState, examples: Examples) -> tuple[OptimizerState, float]:
        """One step.

        Returns:
            The state after it, and the loss before it; either may hold numbers that are none, which the caller checks.
        """
        held = (*state.increment, state.bias_squares, state.rows_squares)
        bias, rows, bias_squares, rows_squares, loss = self._step(held, tuple(examples))
        after = Increment(bias.numpy(), rows.numpy())
        return OptimizerState(after, bias_squares.numpy(), rows_squares.numpy()), float(loss)

    def _one(self, held: Sequence[Any], examples: Sequence[Any]) -> tuple[Any, ...]:
        bias, rows, bias_squares, rows_squares = (tf.convert_to_tensor(value) for value in held)
        projected, gain, courses, base, log_q, weight = (tf.convert_to_tensor(value) for value in examples)
        with tf.GradientTape() as tape:
            tape.watch([bias, rows])
            moved = tf.gather(bias, courses) + tf.einsum("bcr,br->bc", tf.gather(rows, courses), projected)
            likelihood = tf.nn.log_softmax(base + gain[:, None] * moved - log_q)[:, 0]
            loss = -tf.reduce_sum(likelihood * weight) / tf.maximum(tf.reduce_sum(weight), 1.0)
            penalty = self._l2 * (tf.reduce_sum(tf.square(bias)) + tf.reduce_sum(tf.square(rows)))
            total = loss + penalty
        gradients = [tf.convert_to_tensor(gradient) for gradient in tape.gradient(total, [bias, rows])]
        (of_bias, of_rows), _ = tf.clip_by_global_norm(gradients, self._clip)
        bias_squares += tf.square(of_bias)
        rows_squares += tf.square(of_rows)
        bias -= self._rate * of_bias / tf.sqrt(bias_squares + _SMALLEST)
        rows -= self._rate * of_rows / tf.sqrt(rows_squares + _SMALLEST)
        bounded = [tf.clip_by_value(value, -self._bound, self._bound) for value in (bias, rows)]
        return (*bounded, bias_squares, rows_squares, loss)


def deterministic_tensorflow() -> None:
    """Makes TensorFlow compute the same bits in every run of this process's program; before anything else in it."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
