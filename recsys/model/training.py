"""Training of the towers: one `tf.function`, several targets a learner, softmax over the catalogue.

Up to `FULL_SOFTMAX_COURSES` a step looks at every course. Above, it looks at those of `recsys.model.mixed_negatives`,
and neither time nor memory of a step grows with the catalogue.

The as-of popularity enters as an offset whose weights are learned, so that the towers learn what popularity does not
already say (Menon and others: "Long-tail learning via logit adjustment", ICLR 2021).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from recsys.model.adam import FusedAdam, each_row_once
from recsys.model.history import POOLS, STRENGTH_DIM
from recsys.model.hyperparameters import HyperParameters
from recsys.model.mixed_negatives import Candidates, MixedNegatives
from recsys.model.tower_inputs import TowerInputs
from recsys.model.towers import OFFSET_DAYS, HybridTowers

FULL_SOFTMAX_COURSES = 10_000
"""In a larger catalogue the softmax is sampled."""

DRAWN_COURSES = 1024
"""Courses drawn from a larger catalogue for each step, beside the targets of its batch."""

_NEVER = -1e9
_STEPS_AN_EPOCH = 40
_SMALLEST_BATCH = 32
_WARM_UP_STEPS = 50
_LAST_RATE = 0.1
_CLIP = 5.0
_BIAS_L2 = 1e-4

_EVERY_COURSE = Candidates(np.zeros(0, np.int32), np.zeros(0, np.float32))

Progress = Callable[[int, int], None]


class TowerTraining:
    """Trains one pair of towers, once or again and again, with a step of Adam that is compiled once.

    Args:
        towers: New ones, or ones to go on from; they are changed in place.
        hyperparameters: Its seed fixes order, drawn courses and dropout.
        full_softmax_courses: In a larger catalogue the softmax is sampled.
        drawn: Courses drawn from it for each step.

    Attributes:
        towers: As given.
    """

    def __init__(
        self,
        towers: HybridTowers,
        hyperparameters: HyperParameters,
        *,
        full_softmax_courses: int = FULL_SOFTMAX_COURSES,
        drawn: int = DRAWN_COURSES,
    ) -> None:
        self.towers, self._hyperparameters = towers, hyperparameters
        self._optimizer = FusedAdam(hyperparameters.learning_rate)
        self._optimizer.build(towers.trainable_variables)
        n = len(towers.features.index)
        self._sampled, self._drawn = n > full_softmax_courses, drawn
        looked_at = None if self._sampled else n
        self._features = [tf.constant(array) for array in (towers.features.text, towers.features.attributes)]
        self._step = tf.function(
            self._one,
            input_signature=(
                tf.TensorSpec((None, n, len(OFFSET_DAYS)), tf.float32),
                tf.TensorSpec((n,), tf.int32),
                Candidates(tf.TensorSpec((None,), tf.int32), tf.TensorSpec((None,), tf.float32)),
                (
                    tf.TensorSpec((None,), tf.int32),
                    tf.TensorSpec((None, None), tf.int32),
                    tf.TensorSpec((None, None, POOLS), tf.float32),
                    tf.TensorSpec((None, STRENGTH_DIM), tf.float32),
                    tf.TensorSpec((None, looked_at), tf.bool),
                    tf.TensorSpec((None, looked_at), tf.bool),
                    tf.TensorSpec((None,), tf.int32),
                ),
            ),
        )

    def run(self, inputs: TowerInputs, *, epochs: int, progress: Progress = lambda _done, _total: None) -> list[float]:
        """Trains from a fresh state of the optimizer.

        Args:
            inputs: See `TowerInputs`; at least one example.
            epochs: Passes over them.
            progress: Called after each step with steps done and steps in all.

        Returns:
            The mean loss of each epoch.
        """
        keras.utils.set_random_seed(self._hyperparameters.seed)
        rng = np.random.default_rng(self._hyperparameters.seed)
        for variable in self._optimizer.variables:
            variable.assign(tf.zeros_like(variable.value))
        size = int(np.clip(len(inputs) // _STEPS_AN_EPOCH, _SMALLEST_BATCH, self._hyperparameters.batch_size))
        size = min(size, len(inputs))
        steps = len(inputs) // size
        told = (tf.constant(inputs.popularity), tf.constant(self.towers.features.index))
        negatives = MixedNegatives(inputs.targets, batch=size, drawn=self._drawn) if self._sampled else None
        curve = []
        for epoch in range(epochs):
            order = rng.permutation(len(inputs))
            losses = []
            for at in range(steps):
                done, total = epoch * steps + at + 1, steps * epochs
                self._optimizer.learning_rate.assign(self._hyperparameters.learning_rate * _rate(done, total))
                chosen = order[at * size : (at + 1) * size]
                candidates = negatives.draw(chosen, rng) if negatives else _EVERY_COURSE
                batch = inputs.batch(chosen, candidates.rows if negatives else None)
                losses.append(float(self._step(*told, candidates, batch)))
                progress(done, total)
            curve.append(float(np.mean(losses)))
        return curve

    def _one(self, popularity: Any, index: Any, candidates: Any, batch: tuple[Any, ...]) -> Any:
        variables = self.towers.trainable_variables
        with tf.GradientTape() as tape:
            loss, bias = self._loss(popularity, index, candidates, batch)
            total = loss + self._penalty(bias, candidates)
        gradients = [each_row_once(g) for g in tape.gradient(total, [v.value for v in variables])]
        clipped, _ = tf.clip_by_global_norm(gradients, _CLIP)
        self._optimizer.apply(clipped, variables)
        return loss

    def _loss(self, popularity: Any, index: Any, candidates: Any, batch: tuple[Any, ...]) -> tuple[Any, Any]:
        """The mean cross-entropy of a batch, and the biases of the courses looked at `(c, 1)`."""
        user, rows, pools, strength, targets, known, bucket = batch
        towers, settings, features = self.towers, self._hyperparameters, self._features
        if self._sampled:
            popularity = tf.gather(popularity, candidates.rows, axis=1)
            index, *features = (tf.gather(array, candidates.rows) for array in (index, *features))
        kept = tf.cast(tf.random.uniform((tf.shape(user)[0], 1)) >= settings.no_history_rate, tf.float32)
        named = tf.random.uniform(tf.shape(user)) >= settings.unknown_user_rate
        vectors = towers.user(
            [tf.where(named, user, 0), rows, pools * kept[:, :, None], strength * kept], training=True
        )
        shown = tf.random.uniform(tf.shape(index)) >= settings.unknown_course_rate
        courses, bias = towers.course([tf.where(shown, index, 0), *features], training=True)
        logits = tf.matmul(vectors, courses, transpose_b=True) + bias[None, :, 0]
        offsets = tf.linalg.matvec(popularity, tf.convert_to_tensor(towers.offset_weights))
        logits += tf.gather(offsets, bucket)
        if self._sampled:
            logits -= tf.where(targets, 0.0, candidates.log_chance)
        logits = tf.where(known, _NEVER, logits)
        wanted = tf.cast(targets, tf.float32)
        shares = wanted / tf.maximum(tf.reduce_sum(wanted, 1, keepdims=True), 1.0)
        return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(tf.stop_gradient(shares), logits)), bias

    def _penalty(self, bias: Any, candidates: Any) -> Any:
        """On all squared weights, and more on biases.

        Sampled, a bias stands for 1 / its chance; the tables of courses have none, as it would touch all of their rows.
        """
        variables, squares = self.towers.trainable_variables, tf.square(bias[:, 0])
        if self._sampled:
            squares *= tf.exp(-candidates.log_chance)
            tables = {id(table) for table in self.towers.course_tables}
            variables = [variable for variable in variables if id(variable) not in tables]
        all_squares = tf.add_n([tf.reduce_sum(tf.square(variable)) for variable in variables])
        return self._hyperparameters.l2 * all_squares + _BIAS_L2 * tf.reduce_sum(squares)


def _rate(done: int, total: int) -> float:
    """The share of the learning rate at a step: it rises over the first tenth of all, then falls to `_LAST_RATE`."""
    warm_up = min(1.0, done / max(1, min(_WARM_UP_STEPS, total // 10)))
    return warm_up * (1.0 - (1.0 - _LAST_RATE) * done / total)
