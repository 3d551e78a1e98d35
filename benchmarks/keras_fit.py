"""The towers trained by Keras `fit` with its defaults: batches of 32, shuffled arrays, Adam at one rate.

In two forms: a sample is an example with all of its targets (categorical cross-entropy), or it is one (example, target)
pair (sparse categorical cross-entropy), as `fit` is used on pairs of learner and course.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from batch.examples import TowerExamples
from recsys.model.hyperparameters import HyperParameters
from recsys.model.inputs import Doubles, Floats
from recsys.model.towers import HybridTowers

BATCH = 32
"""What `fit` takes where it is told nothing."""

JUDGED_EVERY = 320
"""Steps between two looks at the held-out lists; their seconds are not counted."""


class Told(NamedTuple):
    """What every training is given.

    Attributes:
        examples: Of the towers, `e`.
        popularity: Log popularity by time bucket, course and half-life `(buckets, n, half-lives)`.
        bucket: Of each example `(e,)`.
        towers: Makes new ones, the same each time.
        settings: Of towers and training.
    """

    examples: TowerExamples
    popularity: Floats
    bucket: NDArray[np.int32]
    towers: Callable[[], HybridTowers]
    settings: HyperParameters


class Samples(NamedTuple):
    """What `fit` is given.

    Attributes:
        which: The example of each sample `(s,)`.
        targets: Of each sample: its course `(s,)`, or shares of all of its courses `(s, n)`.
    """

    which: NDArray[np.int32]
    targets: NDArray[Any]


def with_all_targets(examples: TowerExamples) -> Samples:
    """A sample for each example; its targets share 1 equally."""
    shares = examples.targets.toarray().astype(np.float32)
    shares /= np.maximum(shares.sum(axis=1, keepdims=True), 1.0)
    return Samples(np.arange(len(shares), dtype=np.int32), shares)


def with_one_target(examples: TowerExamples) -> Samples:
    """A sample for each target of each example."""
    counts = np.diff(examples.targets.indptr)
    which = np.arange(len(counts), dtype=np.int32).repeat(counts)
    return Samples(which, examples.targets.indices.astype(np.int32))


class Fitted(NamedTuple):
    """How far `fit` came.

    Attributes:
        step_s: CPU seconds of each step.
        ndcg: NDCG@10 of each held-out learner at the end `(u,)`.
        reached: Whether it stopped because it was as good as the goal.
    """

    step_s: list[float]
    ndcg: Doubles
    reached: bool


def fit(told: Told, samples: Samples, judge: Callable[[HybridTowers], Doubles], goal: float, passes: int) -> Fitted:
    """Trains until the mean NDCG@10 of the held-out learners reaches a goal, or for so many passes.

    Args:
        told: See there.
        samples: Of one form.
        judge: NDCG@10 of each held-out learner.
        goal: Mean NDCG@10 at which it ends.
        passes: Most passes over the samples.
    """
    towers = told.towers()
    network = _Network(towers, told)
    one = samples.targets.ndim == 1
    loss = keras.losses.SparseCategoricalCrossentropy if one else keras.losses.CategoricalCrossentropy
    network.compile(optimizer=keras.optimizers.Adam(told.settings.learning_rate), loss=loss(from_logits=True))
    watch = Watch(lambda: judge(towers), goal)
    network.fit(samples.which, samples.targets, epochs=passes, verbose=0, callbacks=[watch])
    return Fitted(watch.step_s, watch.ndcg, watch.reached)


class Watch(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Takes the time of each step, looks at the held-out lists now and then, and ends the training at the goal.

    Args:
        judge: NDCG@10 of each held-out learner, as the towers are now.
        goal: Mean NDCG@10 at which it ends.

    Attributes:
        step_s: CPU seconds of each step.
        ndcg: What was judged last `(u,)`.
        reached: Whether that is the goal or more.
    """

    def __init__(self, judge: Callable[[], Doubles], goal: float) -> None:
        super().__init__()
        self._judge, self._goal = judge, goal
        self.step_s: list[float] = []
        self.ndcg: Doubles = np.zeros(0)
        self.reached = False
        self._last = 0.0

    def on_train_begin(self, logs: Any = None) -> None:
        """Called by Keras."""
        self._last = time.process_time()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Called by Keras."""
        self.step_s.append(time.process_time() - self._last)
        if len(self.step_s) % JUDGED_EVERY == 0:
            self._look()
        self._last = time.process_time()

    def on_train_end(self, logs: Any = None) -> None:
        """Called by Keras."""
        if not self.reached:
            self._look()

    def _look(self) -> None:
        self.ndcg = self._judge()
        self.reached = float(self.ndcg.mean()) >= self._goal
        self.model.stop_training = self.reached


class _Network(keras.Model):  # type: ignore[misc]  # Keras has no types
    """The towers as one Keras model of example numbers `(b,)` that ends in logits over the catalogue `(b, n)`."""

    def __init__(self, towers: HybridTowers, told: Told) -> None:
        super().__init__(name="towers")  # Keras takes no name that begins with "_"
        self.user, self.course, self.offset_weights = towers.user, towers.course, towers.offset_weights
        examples, features = told.examples, towers.features
        self._settings, self._random = told.settings, keras.random.SeedGenerator(told.settings.seed)
        self._examples = [
            ops.convert_to_tensor(array)
            for array in (
                examples.user,
                examples.rows,
                examples.pools,
                examples.strength,
                told.bucket,
                examples.known.toarray().astype(bool),
            )
        ]
        self._popularity = ops.convert_to_tensor(told.popularity)
        self._features = [
            ops.convert_to_tensor(array) for array in (features.index, features.text, features.attributes)
        ]

    def call(self, which: Any, training: bool = False) -> Any:
        """Hides ids and histories at random in training, as a retrain does."""
        user, rows, pools, strength, bucket, known = (ops.take(array, which, axis=0) for array in self._examples)
        index, text, attributes = self._features
        if training:
            kept = self._drawn((ops.shape(user)[0], 1), self._settings.no_history_rate)
            pools, strength = pools * kept[:, :, None], strength * kept
            user *= ops.cast(self._drawn(ops.shape(user), self._settings.unknown_user_rate), "int32")
            index *= ops.cast(self._drawn(index.shape, self._settings.unknown_course_rate), "int32")
        vectors = self.user([user, rows, pools, strength], training=training)
        courses, bias = self.course([index, text, attributes], training=training)
        self.add_loss(self._settings.l2 * sum(ops.sum(ops.square(some)) for some in self.trainable_variables))
        logits = ops.matmul(vectors, ops.transpose(courses)) + bias[None, :, 0]
        logits += ops.take(ops.matmul(self._popularity, self.offset_weights), bucket, axis=0)
        return ops.where(known, -1e9, logits)

    def _drawn(self, shape: Any, rate: float) -> Any:
        return ops.cast(keras.random.uniform(shape, seed=self._random) >= rate, "float32")
