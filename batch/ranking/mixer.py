"""Training of the mixer: lists of candidates from as-of snapshots, a small network of the learner's context, in Keras.

The loss is that of `recsys.model.ranking_lists`: a smooth NDCG beside a softmax cross-entropy.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from batch.ranking.lists import Lists, Scaling
from recsys.model.adam import FusedAdam
from recsys.model.course_features import NAMES
from recsys.model.hyperparameters import HyperParameters
from recsys.model.inputs import Floats
from recsys.model.ranker import mixed_weights
from recsys.model.ranking_lists import (
    CROSS_ENTROPY,
    CURVATURE,
    CUT_OFF,
    MANY_POSITIVES,
    MOST_LOG_INVERSE,
    MOST_POSITIVES,
    NEVER,
    SHARPNESS,
    SMOOTH_NDCG,
    RankingLists,
    curvature,
)
from recsys.model.signals import SIGNALS

HIDDEN = 24
DROPOUT = 0.1
L2 = 1e-3
"""Penalty on the squares of what `w` has moved from its start, and of the network's weights with `MANY_LISTS`."""

MANY_LISTS = 3000
"""Fewer lists cannot tell how trust depends on the learner: by the square of how many times fewer they are, the penalty
on the network is larger, down to one weighting for everybody. On drawn histories of 120 to 150 learners NDCG@10 is 4 to
9 % higher than without."""

LEARNING_RATE = 5e-3
BATCH = 32
LEAST_EPOCHS = 10
FEATURE_AT_START = 0.03
"""Features are many and say much the same, so each begins small beside a signal: a short history cannot unlearn it."""

UNTRAINED_POPULARITY = 0.2
_WARM_UP_STEPS = 30


class TrainedMixer(NamedTuple):
    """What training leaves behind.

    Attributes:
        arrays: As `recsys.model.ranker` reads them, and `CURVATURE` where there were lists.
        curve: Mean loss of each epoch, over all members.
    """

    arrays: dict[str, Floats]
    curve: list[float]


def train_mixer(lists: Lists, scaling: Scaling, hyperparameters: HyperParameters) -> TrainedMixer:
    """Trains the members.

    Args:
        lists: Of all snapshots together.
        scaling: Of features and context.
        hyperparameters: Its seed fixes initial weights, order and dropout.
    """
    signals = lists.signals.shape[2]
    inputs = np.empty((*lists.labels.shape, signals + lists.features.shape[2]), np.float32)
    inputs[:, :, :signals] = lists.signals
    features = inputs[:, :, signals:]
    np.subtract(lists.features, scaling.feature_mean, out=features)
    features /= scaling.feature_scale
    context = ((lists.context - scaling.context_mean) / scaling.context_scale).astype(np.float32)
    trained, curves = [], []
    for member in range(hyperparameters.members):
        seed = hyperparameters.seed * hyperparameters.members + member
        mixer = _Member(inputs.shape[2], lists.signals.shape[2], seed, network_penalty(len(inputs)))
        arrays, curve = mixer.fit(inputs, context, lists, hyperparameters.mixer_steps)
        trained.append(arrays)
        curves.append(curve)
    stacked = {name: np.stack([one[name] for one in trained]) for name in trained[0]}
    arrays = stacked | {"context_mean": scaling.context_mean, "context_scale": scaling.context_scale}
    base = np.matmul(inputs, mixed_weights(arrays, lists.context)[:, :, None])[:, :, 0]
    learned_from = RankingLists(inputs, base, lists.labels, lists.log_inverse)
    arrays[CURVATURE] = curvature(learned_from).astype(np.float32)
    return TrainedMixer(arrays, np.mean(curves, axis=0).tolist())


def network_penalty(lists: int) -> float:
    """The penalty on the network's weights for so many training lists."""
    return L2 * max(1.0, MANY_LISTS / max(1, lists)) ** 2


def untrained_mixer(scaling: Scaling) -> TrainedMixer:
    """For a history without any list to learn from: all signals alike, and popularity where they say nothing."""
    width = len(SIGNALS) + len(NAMES)
    weights = np.zeros((1, width), np.float32)
    weights[0, : len(SIGNALS)] = 1.0 / len(SIGNALS)
    weights[0, len(SIGNALS) + NAMES.index("popularity_30d")] = UNTRAINED_POPULARITY
    arrays = {
        "mixer_weights": weights,
        "mixer_hidden_kernel": np.zeros((1, 2, HIDDEN), np.float32),
        "mixer_hidden_bias": np.zeros((1, HIDDEN), np.float32),
        "mixer_output_kernel": np.zeros((1, HIDDEN, width), np.float32),
        "mixer_output_bias": np.zeros((1, width), np.float32),
        "context_mean": scaling.context_mean,
        "context_scale": scaling.context_scale,
    }
    return TrainedMixer(arrays, [])


class _Member:
    """One mixer."""

    def __init__(self, width: int, signals: int, seed: int, penalty: float = L2) -> None:
        self._penalty = penalty
        keras.utils.set_random_seed(seed)
        self._rng = np.random.default_rng(seed)
        start = np.full(width, FEATURE_AT_START, np.float32)
        start[:signals] = 1.0 / signals
        self._start = start
        self._weights = keras.Variable(start)
        small = keras.initializers.RandomNormal(stddev=0.01, seed=seed)
        self._hidden = layers.Dense(HIDDEN, activation="tanh")
        self._output = layers.Dense(width, kernel_initializer=small)
        self._net: Any = keras.Sequential([keras.Input((2,)), self._hidden, layers.Dropout(DROPOUT), self._output])

    def fit(self, inputs: Floats, context: Floats, lists: Lists, least_steps: int) -> TrainedMixer:
        """Trains on lists `(l, c, s + f)`."""
        size = min(BATCH, len(inputs))
        steps = len(inputs) // size
        epochs = max(LEAST_EPOCHS, -(-least_steps // steps))
        optimizer = FusedAdam(LEARNING_RATE)
        variables = [self._weights, *self._net.trainable_variables]
        optimizer.build(variables)
        step = tf.function(lambda *batch: self._step(optimizer, variables, *batch), reduce_retracing=True)
        done, total = 0, steps * epochs
        curve = []
        for _ in range(epochs):
            losses = []
            order = self._rng.permutation(len(inputs))
            for at in range(steps):
                chosen = order[at * size : (at + 1) * size]
                done += 1
                optimizer.learning_rate.assign(
                    LEARNING_RATE * min(1.0, done / _WARM_UP_STEPS) * (1 - 0.95 * done / total)
                )
                losses.append(step(inputs[chosen], context[chosen], lists.labels[chosen], lists.log_inverse[chosen]))
            curve.append(float(np.mean(losses)))
        hidden, output = self._hidden.get_weights(), self._output.get_weights()
        arrays = {
            "mixer_weights": self._weights.value.numpy(),
            "mixer_hidden_kernel": hidden[0],
            "mixer_hidden_bias": hidden[1],
            "mixer_output_kernel": output[0],
            "mixer_output_bias": output[1],
        }
        return TrainedMixer(arrays, curve)

    def scores(self, inputs: Any, context: Any, *, training: bool = False) -> Any:
        """`(b, c)` from inputs `(b, c, s + f)` and context `(b, 2)`."""
        weights = tf.convert_to_tensor(self._weights)[None] + self._net(context, training=training)
        return tf.einsum("bcf,bf->bc", inputs, weights)

    def _step(
        self, optimizer: Any, variables: list[Any], inputs: Any, context: Any, labels: Any, log_inverse: Any
    ) -> Any:
        with tf.GradientTape() as tape:
            scores = self.scores(inputs, context, training=True)
            loss = tf.reduce_mean(_loss(scores, labels, log_inverse))
            moved = tf.convert_to_tensor(self._weights) - self._start
            network = tf.add_n([tf.reduce_sum(tf.square(v)) for v in self._net.trainable_variables])
            total = loss + L2 * tf.reduce_sum(tf.square(moved)) + self._penalty * network
        optimizer.apply(tape.gradient(total, [v.value for v in variables]), variables)
        return loss


def _loss(scores: Any, labels: Any, log_inverse: Any) -> Any:
    """Smooth NDCG@10 of up to `MOST_POSITIVES` positives beside cross-entropy, of each list `(b,)`."""
    share = labels / tf.maximum(tf.reduce_sum(labels, 1, keepdims=True), 1.0)
    entropy = -tf.reduce_sum(tf.where(labels > 0, tf.nn.log_softmax(scores + log_inverse), 0.0) * share, 1)
    drawn = labels + tf.random.uniform(tf.shape(labels)) * 1e-3
    top, at = tf.math.top_k(drawn, tf.minimum(MOST_POSITIVES, tf.shape(labels)[1]))
    theirs = tf.gather(scores, at, batch_dims=1)
    positive = tf.cast(top > 0.5, tf.float32)  # noqa: PLR2004 - labels are 0 or 1
    weight = tf.where(log_inverse < NEVER / 10, 0.0, tf.exp(tf.minimum(log_inverse, MOST_LOG_INVERSE)))
    above = tf.sigmoid((scores[:, None] - theirs[:, :, None]) * SHARPNESS) * weight[:, None]
    rank = 0.5 + tf.reduce_sum(above, 2)
    gain = tf.reduce_sum(positive * np.log(2.0) / tf.math.log(1.0 + rank), 1)
    count = tf.maximum(tf.minimum(tf.reduce_sum(positive, 1), CUT_OFF), 1.0)
    return CROSS_ENTROPY * entropy - SMOOTH_NDCG * gain / count**MANY_POSITIVES
