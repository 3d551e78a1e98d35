"""Training of the towers: one `tf.function`, several targets a learner, softmax over the whole catalogue.

The as-of popularity enters as an offset whose weights are learned, so that the towers learn what popularity does not
already say (Menon and others: "Long-tail learning via logit adjustment", ICLR 2021).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from scipy import sparse

from recsys.model.adam import FusedAdam
from recsys.model.history import POOLS, STRENGTH_DIM
from recsys.model.hyperparameters import HyperParameters
from recsys.model.inputs import Floats, Rows
from recsys.model.towers import OFFSET_DAYS, HybridTowers

_NEVER = -1e9
_STEPS_AN_EPOCH = 40
_SMALLEST_BATCH = 32
_WARM_UP_STEPS = 50
_LAST_RATE = 0.1
_CLIP = 5.0
_BIAS_L2 = 1e-4

Progress = Callable[[int, int], None]


class TowerInputs:
    """What a training run reads, a batch at a time.

    Args:
        user: User embedding rows `(e,)`, 0 for the unknown user.
        rows: History rows `(e, l)`.
        pools: `(e, l, POOLS)`.
        strength: `(e, STRENGTH_DIM)`.
        targets: `(e, n)`.
        known: `(e, n)`.
        popularity: Log popularity by time bucket, course and half-life `(buckets, n, len(OFFSET_DAYS))`.
        bucket: The bucket of each example `(e,)`.
    """

    def __init__(
        self,
        *,
        user: Rows,
        rows: Rows,
        pools: Floats,
        strength: Floats,
        targets: sparse.csr_array,
        known: sparse.csr_array,
        popularity: Floats,
        bucket: Rows,
    ) -> None:
        self.user, self.rows, self.pools, self.strength = user, rows, pools, strength
        self._targets, self._known, self._bucket = targets.astype(bool), known.astype(bool), bucket
        self.popularity = popularity

    def __len__(self) -> int:
        return len(self.user)

    def batch(self, chosen: NDArray[np.integer[Any]]) -> tuple[Any, ...]:
        """The arrays of some examples `(b,)`, in the order of the training step's arguments."""
        return (
            self.user[chosen],
            self.rows[chosen],
            self.pools[chosen],
            self.strength[chosen],
            self._targets[chosen].toarray(),
            self._known[chosen].toarray(),
            self._bucket[chosen],
        )


class TowerTraining:
    """Trains one pair of towers, once or again and again, with a step of Adam that is compiled once.

    Args:
        towers: New ones, or ones to go on from; they are changed in place.
        hyperparameters: Its seed fixes order and dropout.

    Attributes:
        towers: As given.
    """

    def __init__(self, towers: HybridTowers, hyperparameters: HyperParameters) -> None:
        self.towers, self._hyperparameters = towers, hyperparameters
        self._optimizer = FusedAdam(hyperparameters.learning_rate)
        self._optimizer.build(towers.trainable_variables)
        n = len(towers.features.index)
        self._features = [tf.constant(array) for array in (towers.features.text, towers.features.attributes)]
        self._step = tf.function(
            self._one,
            input_signature=(
                tf.TensorSpec((None, n, len(OFFSET_DAYS)), tf.float32),
                tf.TensorSpec((n,), tf.int32),
                (
                    tf.TensorSpec((None,), tf.int32),
                    tf.TensorSpec((None, None), tf.int32),
                    tf.TensorSpec((None, None, POOLS), tf.float32),
                    tf.TensorSpec((None, STRENGTH_DIM), tf.float32),
                    tf.TensorSpec((None, n), tf.bool),
                    tf.TensorSpec((None, n), tf.bool),
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
        curve = []
        for epoch in range(epochs):
            order = rng.permutation(len(inputs))
            losses = []
            for at in range(steps):
                done, total = epoch * steps + at + 1, steps * epochs
                self._optimizer.learning_rate.assign(self._hyperparameters.learning_rate * _rate(done, total))
                losses.append(float(self._step(*told, inputs.batch(order[at * size : (at + 1) * size]))))
                progress(done, total)
            curve.append(float(np.mean(losses)))
        return curve

    def _one(self, popularity: Any, index: Any, batch: tuple[Any, ...]) -> Any:
        user, rows, pools, strength, targets, known, bucket = batch
        towers, settings = self.towers, self._hyperparameters
        variables = towers.trainable_variables
        with tf.GradientTape() as tape:
            kept = tf.cast(tf.random.uniform((tf.shape(user)[0], 1)) >= settings.no_history_rate, tf.float32)
            named = tf.random.uniform(tf.shape(user)) >= settings.unknown_user_rate
            vectors = towers.user(
                [tf.where(named, user, 0), rows, pools * kept[:, :, None], strength * kept], training=True
            )
            shown = tf.random.uniform(tf.shape(index)) >= settings.unknown_course_rate
            courses, bias = towers.course([tf.where(shown, index, 0), *self._features], training=True)
            logits = tf.matmul(vectors, courses, transpose_b=True) + bias[None, :, 0]
            offsets = tf.linalg.matvec(popularity, tf.convert_to_tensor(towers.offset_weights))
            logits += tf.gather(offsets, bucket)
            logits = tf.where(known, _NEVER, logits)
            wanted = tf.cast(targets, tf.float32)
            shares = wanted / tf.maximum(tf.reduce_sum(wanted, 1, keepdims=True), 1.0)
            loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(tf.stop_gradient(shares), logits))
            penalty = settings.l2 * tf.add_n([tf.reduce_sum(tf.square(v)) for v in variables])
            penalty += _BIAS_L2 * tf.reduce_sum(tf.square(bias))
            total = loss + penalty
        gradients = [tf.convert_to_tensor(g) for g in tape.gradient(total, [v.value for v in variables])]
        clipped, _ = tf.clip_by_global_norm(gradients, _CLIP)
        self._optimizer.apply(clipped, variables)
        return loss


def _rate(done: int, total: int) -> float:
    """The share of the learning rate at a step: it rises over the first tenth of all, then falls to `_LAST_RATE`."""
    warm_up = min(1.0, done / max(1, min(_WARM_UP_STEPS, total // 10)))
    return warm_up * (1.0 - (1.0 - _LAST_RATE) * done / total)
