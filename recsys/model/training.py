"""Training of the hybrid model: one `tf.function` on batches of a fixed shape, sampled softmax with logQ correction.

The positive's logit is compared with candidates drawn by `recsys.model.negatives`. A candidate's logit gets −log(k·Q),
so that the sum over candidates estimates the sum over the catalogue; the positive was not drawn and gets nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from scipy import sparse

from recsys.model.hyperparameters import HyperParameters
from recsys.model.inputs import CourseFeatures, Examples, Floats, Rows
from recsys.model.negatives import Candidates, Sampler, make_sampler
from recsys.model.towers import HybridTowers

_NEVER = -1e9
_SMALLEST_BATCH = 256
_STEPS_AN_EPOCH = 60

AfterEpoch = Callable[[int, float, HybridTowers], bool]
"""Called with the epoch (1 and up), its mean loss and the towers; returns whether to go on."""


@dataclass(frozen=True, slots=True)
class TrainingInputs:
    """Everything a training run reads.

    Attributes:
        examples: The positives.
        features: Of the catalogue, `n` courses.
        touched: User row − 1 × course, nonzero wherever there was any interaction in the training window.
        popularity: Log popularity by time bucket and course, `(buckets, n)`.
        bucket: The bucket of each example `(e,)`.
    """

    examples: Examples
    features: CourseFeatures
    touched: sparse.csr_array
    popularity: Floats
    bucket: Rows


def train_towers(
    inputs: TrainingInputs,
    settings: HyperParameters,
    *,
    after_epoch: AfterEpoch = lambda _epoch, _loss, _towers: True,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> HybridTowers:
    """Trains new towers.

    Args:
        inputs: See `TrainingInputs`.
        settings: See `HyperParameters`; its seed fixes initial weights, order, negatives and dropout.
        after_epoch: May end training early.
        progress: Called after each step with steps done and steps in all.
    """
    keras.utils.set_random_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    n_users, n_courses = inputs.touched.shape
    towers = HybridTowers(
        settings, n_users=n_users, n_courses=n_courses, n_attributes=inputs.features.attributes.shape[1]
    )
    # A small history is cut into enough steps to learn from; the shape stays fixed all the same.
    size = min(settings.batch_size, max(_SMALLEST_BATCH, len(inputs.examples.course) // _STEPS_AN_EPOCH))
    steps = -(-len(inputs.examples.course) // size)
    step = _make_step(towers, inputs.features, settings, total_steps=steps * settings.epochs)
    frequencies = np.bincount(inputs.examples.course, minlength=n_courses).astype(np.float64)
    batches = _Batches(inputs, settings, make_sampler(settings.sampler, frequencies), rng, size)
    for epoch in range(1, settings.epochs + 1):
        losses = []
        for number, batch in enumerate(batches.epoch(), start=1):
            losses.append(float(step(*batch)))
            progress((epoch - 1) * steps + number, steps * settings.epochs)
        if not after_epoch(epoch, float(np.mean(losses)), towers):
            break
    return towers


class _Batches:
    """Padded batches of one epoch after another."""

    def __init__(
        self, inputs: TrainingInputs, settings: HyperParameters, sampler: Sampler, rng: np.random.Generator, size: int
    ) -> None:
        self._inputs, self._settings, self._sampler, self._rng, self._size = inputs, settings, sampler, rng, size
        groups = inputs.examples.history_rows
        pools = sparse.csr_array(
            (
                inputs.examples.history_weights.ravel(),
                groups.ravel(),
                np.arange(len(groups) + 1, dtype=np.int64) * groups.shape[1],
            ),
            shape=(len(groups), len(inputs.features.index)),
        )
        self._text_pool = np.asarray(pools @ inputs.features.text, np.float32)

    def epoch(self) -> Iterator[tuple[NDArray[Any], ...]]:
        order = self._rng.permutation(len(self._inputs.examples.course))
        for start in range(0, len(order), self._size):
            picked = order[start : start + self._size]
            padded = np.resize(picked, self._size)
            weight = self._inputs.examples.weight[padded].copy()
            weight[len(picked) :] = 0.0
            yield self._batch(padded, weight)

    def _batch(self, picked: NDArray[np.int64], weight: Floats) -> tuple[NDArray[Any], ...]:
        e, popularity, rng = self._inputs.examples, self._inputs.popularity, self._rng
        positives, users, group = e.course[picked], e.user[picked], e.group[picked]
        drawn = self._sampler.draw(positives, self._settings.negatives, rng)
        unknown = rng.random(len(picked)) < self._settings.unknown_user_rate
        rows = np.concatenate([positives, drawn.courses])
        index = self._hidden(self._inputs.features.index[rows])
        history = self._hidden(self._inputs.features.index[e.history_rows[group]])
        times = self._inputs.bucket[picked]
        return (
            np.where(unknown, 0, users).astype(np.int32),
            history,
            e.history_weights[group],
            self._text_pool[group],
            e.strength[group],
            rows,
            index,
            popularity[times, positives],
            popularity[:, drawn.courses][times],
            self._log_counts(drawn),
            self._negative(users, drawn.courses),
            weight,
            np.array(drawn.keep, np.int32),
        )

    def _hidden(self, index: Rows) -> Rows:
        """Takes some course ids away, so that the unknown course is trained too."""
        taken = self._rng.random(index.shape) < self._settings.unknown_course_rate
        return np.where(taken, 0, index).astype(np.int32)

    def _log_counts(self, drawn: Candidates) -> Floats:
        return drawn.log_q[drawn.courses] + np.float32(np.log(len(drawn.courses)))

    def _negative(self, users: Rows, candidates: Rows) -> NDArray[np.bool_]:
        """Where a candidate is a negative: the learner touches it nowhere in the training window; `(batch, k)`."""
        columns, inverse = np.unique(candidates, return_inverse=True)
        place = np.full(self._inputs.touched.shape[1], -1)
        place[columns] = np.arange(len(columns))
        rows = self._inputs.touched[users - 1]
        hit = place[rows.indices]
        touched = np.zeros((len(users), len(columns)), dtype=bool)
        touched[np.repeat(np.arange(len(users)), np.diff(rows.indptr))[hit >= 0], hit[hit >= 0]] = True
        negative: NDArray[np.bool_] = ~touched[:, inverse]
        return negative


def _make_step(
    towers: HybridTowers, features: CourseFeatures, settings: HyperParameters, *, total_steps: int
) -> Callable[..., Any]:
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(settings.learning_rate, total_steps))
    optimizer.build(towers.trainable_variables)
    text, attributes = tf.constant(features.text), tf.constant(features.attributes)

    def step(*batch: Any) -> Any:
        user, history, weights, pool, strength, rows, index, pop, pops, log_counts, negative, weight, keep = batch
        size = user.shape[0]
        with tf.GradientTape() as tape:
            vectors = towers.user([user, history, weights, pool, strength], training=True)
            courses, bias = towers.course([index, tf.gather(text, rows), tf.gather(attributes, rows)], training=True)
            bias, fame = bias[:, 0], towers.popularity_weight
            positive = tf.reduce_sum(vectors * courses[:size], 1) + bias[:size] + fame * pop
            others = tf.matmul(vectors, courses[size:], transpose_b=True) + bias[size:] + fame * pops - log_counts
            others = _hardest(tf.where(negative, others, _NEVER), keep, hard=settings.sampler == "hard")
            loss = tf.reduce_logsumexp(tf.concat([positive[:, None], others], 1), 1) - positive
            loss = tf.reduce_sum(loss * weight) / tf.maximum(tf.reduce_sum(weight), 1e-6)
            penalty = tf.reduce_mean(tf.reduce_sum(vectors**2, 1)) + tf.reduce_mean(tf.reduce_sum(courses**2, 1))
            total = loss + settings.l2 * penalty
        variables = towers.trainable_variables
        optimizer.apply(tape.gradient(total, variables), variables)
        return loss

    compiled: Callable[..., Any] = tf.function(step)
    return compiled


def _hardest(logits: Any, keep: Any, *, hard: bool) -> Any:
    """Leaves the `keep` highest logits of each row `(batch, k)` and takes the others out of the sum."""
    if not hard:
        return logits
    floor = tf.math.top_k(logits, keep).values[:, -1:]
    return tf.where(logits >= floor, logits, _NEVER)
