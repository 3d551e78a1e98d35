"""The towers' training beside Keras `fit` with its defaults: one network, the same examples, the same held-out lists.

`fit` gets batches of 32 (its default), the examples as NumPy arrays, Adam at the same learning rate, constant, and the
same loss: softmax over the catalogue with the popularity of the time as an offset, without what a learner knew, with
ids and histories hidden at random. Both run as many epochs. Implicit ALS (the baseline of an evaluation) is fitted on
the same history beside them.

Seconds are CPU time of this process. Tracing and compilation are in the totals, and not in the samples a second.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from batch.encoding import EngagementRule, encode
from batch.evaluation.baselines import Ials
from batch.evaluation.cases import Case, build_cases
from batch.evaluation.evaluate import ndcg
from batch.examples import TowerExamples, tower_examples
from batch.features import course_features, fit_attributes, fit_text
from batch.split import split_share
from recsys.catalog import Course
from recsys.model.hyperparameters import HyperParameters
from recsys.model.inputs import CourseFeatures, Floats
from recsys.model.mixed_affinity import decayed
from recsys.model.signals import ITEM_ITEM, SignalModel, positive

CUT, MOST_ASKED = 0.8, 1000
COMPILING_STEPS = 3
ALPHA, ALS_DAYS = 20.0, 60.0


class Trained(NamedTuple):
    """What one way of training came to.

    Attributes:
        samples_per_s: By the median of its steps, once compiled; NaN where it has none.
        cpu_s: Of the whole training.
        ndcg: Mean NDCG@10 on the held-out lists.
    """

    samples_per_s: float
    cpu_s: float
    ndcg: float

    def speed(self) -> str:
        """Samples a second for a person."""
        return "–" if np.isnan(self.samples_per_s) else f"{self.samples_per_s:,.0f}"


class Comparison(NamedTuple):
    """The step of a retrain, Keras `fit` and implicit ALS on one history."""

    examples: int
    asked: int
    retrain: Trained
    fit: Trained
    ials: Trained

    def lines(self) -> list[str]:
        """A table for a person."""
        ratio = self.retrain.samples_per_s / self.fit.samples_per_s
        named = {"retrain": self.retrain, "Keras fit": self.fit, "implicit ALS": self.ials}
        return [
            (
                f"{self.examples:,} examples, NDCG@10 on {self.asked:,} held-out learners; "
                f"{ratio:.1f} x the samples/s of Keras fit"
            ),
            "| training | samples/s | CPU s | NDCG@10 |\n|---|---|---|---|",
            *(f"| {name} | {one.speed()} | {one.cpu_s:.1f} | {one.ndcg:.4f} |" for name, one in named.items()),
        ]


def compare(
    events: pd.DataFrame, courses: Sequence[Course], rule: EngagementRule, settings: HyperParameters
) -> Comparison:
    """Trains in each way on the first part of a cleaned history, and asks for what came after it."""
    from batch.ranking.tower_fit import offsets  # noqa: PLC0415 - TensorFlow

    before, after, cutoff_ms = split_share(events, CUT)
    encoded, half_life = encode(before, courses, rule), rule.decay.half_life_days
    cases = build_cases(encoded, after, rule, cutoff_ms)
    warm = [case for case in cases if case.user_row >= 0 and len(case.rows)][:MOST_ASKED]
    touched = np.bincount(encoded.course, minlength=len(courses)) > 0
    known = [course for course, seen in zip(courses, touched, strict=True) if seen]
    text = fit_text(known, settings, courses).project(courses)
    features = course_features(courses, text, fit_attributes(known), touched)
    examples = tower_examples(encoded, cutoff_ms, settings, half_life)
    if examples is None:
        raise SystemExit("nobody of this history liked a second course: there is nothing to train the towers on")
    popularity, bucket = offsets(encoded, cutoff_ms, examples.time)
    told = _Told(examples, features, popularity, bucket, len(encoded.users), settings)
    offered = np.ones(len(courses), dtype=bool)

    def judged(towers: Any) -> float:
        return float(ndcg(_TowersAlone(towers, popularity[-1], half_life), warm, offered).mean())

    mine, mine_s, mine_cpu = _train(told)
    fit, fit_s, fit_cpu = _fit(told)
    began = time.process_time()
    ials = Ials(encoded, ALPHA, ALS_DAYS, seed=settings.seed)
    ials_cpu = time.process_time() - began
    return Comparison(
        len(examples.user),
        len(warm),
        Trained(mine_s, mine_cpu, judged(mine)),
        Trained(fit_s, fit_cpu, judged(fit)),
        Trained(float("nan"), ials_cpu, float(ndcg(ials, warm, offered).mean())),
    )


class _Told(NamedTuple):
    """What both trainings are given."""

    examples: TowerExamples
    features: CourseFeatures
    popularity: Floats
    bucket: NDArray[np.int32]
    users: int
    settings: HyperParameters

    def towers(self) -> Any:
        """New ones, the same each time."""
        import keras  # noqa: PLC0415 - TensorFlow

        from recsys.model.towers import HybridTowers  # noqa: PLC0415 - TensorFlow

        keras.utils.set_random_seed(self.settings.seed)
        return HybridTowers(self.settings, n_users=self.users, features=self.features)


def _train(told: _Told) -> tuple[Any, float, float]:
    """As a retrain does: the towers, samples and CPU seconds."""
    from recsys.model.training import TowerInputs, TowerTraining  # noqa: PLC0415 - TensorFlow

    examples, ticks, batches = told.examples, [time.process_time()], list[int]()

    class Counted(TowerInputs):
        """Notes how large the batches are."""

        def batch(self, chosen: NDArray[np.integer[Any]]) -> tuple[Any, ...]:
            batches.append(len(chosen))
            return super().batch(chosen)

    inputs = Counted(
        user=examples.user, rows=examples.rows, pools=examples.pools, strength=examples.strength,
        targets=examples.targets, known=examples.known, popularity=told.popularity, bucket=told.bucket,
    )  # fmt: skip
    training = TowerTraining(told.towers(), told.settings)
    training.run(inputs, epochs=told.settings.epochs, progress=lambda _done, _total: ticks.append(time.process_time()))
    return training.towers, _samples_per_s(batches[0], ticks), ticks[-1] - ticks[0]


def _fit(told: _Told) -> tuple[Any, float, float]:
    """As Keras does it by default: the towers, samples and CPU seconds."""
    import keras  # noqa: PLC0415 - TensorFlow

    examples, ticks = told.examples, [time.process_time()]
    towers = told.towers()
    model = _fit_model(towers, told.popularity, told.settings)
    targets = examples.targets.toarray()
    targets /= np.maximum(targets.sum(axis=1, keepdims=True), 1.0)
    known = examples.known.toarray().astype(bool)
    inputs = [examples.user, examples.rows, examples.pools, examples.strength, told.bucket, known]
    model.compile(
        optimizer=keras.optimizers.Adam(told.settings.learning_rate),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
    )
    clock = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs=None: ticks.append(time.process_time())  # noqa: ARG005 - called by these names
    )
    model.fit(inputs, targets, epochs=told.settings.epochs, verbose=0, callbacks=[clock])
    return towers, _samples_per_s(32, ticks), ticks[-1] - ticks[0]


def _samples_per_s(batch: int, ticks: Sequence[float]) -> float:
    steps = np.diff(ticks)[COMPILING_STEPS:]
    return batch / float(np.median(steps)) if len(steps) else float("nan")


def _fit_model(towers: Any, popularity: Floats, settings: HyperParameters) -> Any:
    """The towers as one Keras model that ends in logits over the catalogue."""
    import keras  # noqa: PLC0415 - TensorFlow
    from keras import ops  # noqa: PLC0415 - TensorFlow

    features = towers.features

    class Whole(keras.Model):  # type: ignore[misc]  # Keras has no types
        def __init__(self) -> None:
            super().__init__()
            self.user, self.course, self.offset_weights = towers.user, towers.course, towers.offset_weights
            self.random = keras.random.SeedGenerator(settings.seed)

        def call(self, inputs: Any, training: bool = False) -> Any:
            user, rows, pools, strength, bucket, known = inputs
            index, text, attributes = map(ops.convert_to_tensor, (features.index, features.text, features.attributes))
            if training:
                kept = self._drawn((ops.shape(user)[0], 1), settings.no_history_rate)
                pools, strength = pools * kept[:, :, None], strength * kept
                user *= ops.cast(self._drawn(ops.shape(user), settings.unknown_user_rate), "int32")
                index *= ops.cast(self._drawn(index.shape, settings.unknown_course_rate), "int32")
            vectors = self.user([user, rows, pools, strength], training=training)
            courses, bias = self.course([index, text, attributes], training=training)
            self.add_loss(settings.l2 * sum(ops.sum(ops.square(some)) for some in self.trainable_variables))
            logits = ops.matmul(vectors, ops.transpose(courses)) + bias[None, :, 0]
            logits += ops.take(ops.matmul(popularity, self.offset_weights), bucket, axis=0)
            return ops.where(known, -1e9, logits)

        def _drawn(self, shape: Any, rate: float) -> Any:
            return ops.cast(keras.random.uniform(shape, seed=self.random) >= rate, "float32")

    return Whole()


class _TowersAlone:
    """Ranks by user vector · course vector + bias + the learned weights of popularity.

    Args:
        towers: Trained.
        popularity: Log popularity at the cut-off `(n, half-lives)`.
        half_life_days: Of engagement.
    """

    def __init__(self, towers: Any, popularity: Floats, half_life_days: float) -> None:
        self._arrays, self._half_life_days = towers.export(), half_life_days
        none = {f"{name}_indices": np.zeros(0, np.int32) for name in ITEM_ITEM}
        self._model = SignalModel({**self._arrays, **none}, towers.hyperparameters.history_length)
        self._told = popularity @ towers.offset_weights.value.numpy() + self._arrays["course_bias"]

    def score(self, case: Case) -> Floats:
        """See `batch.evaluation.cases.Recommender`."""
        now = decayed(case.stored, at_ms=case.at_ms, half_life_days=self._half_life_days)
        vector = self._model.user_vector(case.user_row + 1, *positive(case.rows, now))
        scores: Floats = self._arrays["course_vectors"] @ vector + self._told
        return scores
