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

FIRST_ACCUMULATED = 1e-3
_SMALLEST = 1e-7


class Examples(NamedTuple):
    """`b` examples of a positive course, in column 0, and `k` drawn ones.

    Attributes:
        projected: p(u) `(b, rank)`.
        gain: `IncrementModel.gain` `(b,)`.
        courses: Course rows `(b, 1 + k)`.
        base: The parent's scores `(b, 1 + k)`.
        inputs: The ranker's inputs of each `(b, 1 + k, INPUTS)`.
        log_q: Log of how often each is expected among `k` draws `(b, 1 + k)`; large where it must not count.
        weight: Of each example `(b,)`; 0 for padding.
    """

    projected: Floats
    gain: Floats
    courses: Rows
    base: Floats
    inputs: Floats
    log_q: Floats
    weight: Floats


class OptimizerState(NamedTuple):
    """An increment in training.

    Attributes:
        increment: As it is.
        squares: Adagrad's sums, shaped as the increment.
    """

    increment: Increment
    squares: Increment

    @classmethod
    def at(cls, increment: Increment) -> OptimizerState:
        """A fresh optimizer at an increment."""
        return cls(increment, Increment(*(np.full_like(each, FIRST_ACCUMULATED) for each in increment)))


_AXES = (2, 1, 2, 2, 3, 2, 1)
_INCREMENT = tuple(tf.TensorSpec((None,) * axes) for axes in (1, 2, 1))
_EXAMPLES = tuple(
    tf.TensorSpec((None,) * axes, tf.int32 if name == "courses" else tf.float32)
    for name, axes in zip(Examples._fields, _AXES, strict=True)
)


class IncrementTraining:
    """Training steps over batches of one shape.

    Args:
        rates: Adagrad's, of bias, rows and weights.
        l2: Of the squared increment, toward the parent.
        clip: Largest norm of a step's gradient, of bias, rows and weights each.
        bound: Largest size of a number of the increment.
    """

    def __init__(self, *, rates: tuple[float, float, float], l2: float, clip: float, bound: float) -> None:
        self._rates, self._l2, self._clip, self._bound = rates, l2, clip, bound
        # One graph for any count of courses: a restart must not compute with another one than the run before it.
        self._step = tf.function(self._one, input_signature=(_INCREMENT, _INCREMENT, _EXAMPLES))

    def step(self, state: OptimizerState, examples: Examples) -> tuple[OptimizerState, float]:
        """One step.

        Returns:
            The state after it, and the loss before it; either may hold numbers that are none, which the caller checks.
        """
        after, squares, loss = self._step(tuple(state.increment), tuple(state.squares), tuple(examples))
        increments = (Increment(*(each.numpy() for each in values)) for values in (after, squares))
        return OptimizerState(*increments), float(loss)

    def _one(self, held: Sequence[Any], squares: Sequence[Any], examples: Sequence[Any]) -> tuple[Any, ...]:
        bias, rows, weights = (tf.convert_to_tensor(value) for value in held)
        projected, gain, courses, base, inputs, log_q, weight = (tf.convert_to_tensor(value) for value in examples)
        with tf.GradientTape() as tape:
            tape.watch([bias, rows, weights])
            moved = tf.gather(bias, courses) + tf.einsum("bcr,br->bc", tf.gather(rows, courses), projected)
            scores = base + gain[:, None] * moved + tf.linalg.matvec(inputs, weights)
            likelihood = tf.nn.log_softmax(scores - log_q)[:, 0]
            loss = -tf.reduce_sum(likelihood * weight) / tf.maximum(tf.reduce_sum(weight), 1.0)
            penalty = self._l2 * tf.add_n([tf.reduce_sum(tf.square(each)) for each in (bias, rows, weights)])
            total = loss + penalty
        gradients = tape.gradient(total, [bias, rows, weights])
        after, sums = [], []
        for value, square, gradient, rate in zip((bias, rows, weights), squares, gradients, self._rates, strict=True):
            clipped = tf.clip_by_norm(tf.convert_to_tensor(gradient), self._clip)
            sums.append(square + tf.square(clipped))
            moved_to = value - rate * clipped / tf.sqrt(sums[-1] + _SMALLEST)
            after.append(tf.clip_by_value(moved_to, -self._bound, self._bound))
        return after, sums, loss


def deterministic_tensorflow() -> None:
    """Makes TensorFlow compute the same bits in every run of this process's program; before anything else in it."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
