"""The towers' training beside Keras `fit` with its defaults: one network, the same examples, the same held-out lists.

`fit` (`benchmarks.keras_fit`) gets Adam at the same learning rate, constant, and the same loss: softmax over the
catalogue with the popularity of the time as an offset, without what a learner knew, with ids and histories hidden at
random. It ends when its NDCG@10 reaches that of the retrain's way, which is its advantage: the held-out lists say when.
Implicit ALS (the baseline of an evaluation) is fitted on the same history beside them.

What a sample is, is said of each. A pair is one target of one example: a learner at an instant and a course that they
newly liked soon after it. Seconds are CPU time of this process. Tracing and compilation are in the totals, and not in
samples and pairs a second; what preparing the arrays takes is in neither.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from batch.encoding import EncodedEvents, EngagementRule, encode
from batch.evaluation.baselines import Ials
from batch.evaluation.cases import Case, build_cases
from batch.evaluation.evaluate import ndcg
from batch.examples import tower_examples
from batch.features import course_features, fit_attributes, fit_text
from batch.metrics import paired_bootstrap
from batch.split import split_share
from recsys.catalog import Course
from recsys.model.hyperparameters import HyperParameters
from recsys.model.inputs import Doubles, Floats, Rows
from recsys.model.mixed_affinity import decayed
from recsys.model.signals import ITEM_ITEM, SignalModel, positive
from recsys.model.tower_inputs import TowerInputs

CUT, MOST_ASKED = 0.8, 1000
COMPILING_STEPS = 3
ALPHA, ALS_DAYS = 20.0, 60.0

RETRAIN, ALL, ONE, IALS = "retrain", "Keras fit, all targets", "Keras fit, one target", "implicit ALS"
FULL = "retrain, full softmax"
"""Beside a retrain that samples it, which it does in a large catalogue."""


class Trained(NamedTuple):
    """What one way of training came to.

    Attributes:
        sample: What one sample is.
        samples_per_s: By the median of its steps, once compiled; NaN where it has none.
        pairs_per_s: The same in (learner, course) pairs.
        passes: Over its samples; NaN where it has none.
        cpu_s: Of the whole training.
        ndcg: NDCG@10 of each held-out learner `(u,)`.
        reached: Whether it came to the NDCG@10 of the retrain's way.
    """

    sample: str
    samples_per_s: float
    pairs_per_s: float
    passes: float
    cpu_s: float
    ndcg: Doubles
    reached: bool


class Comparison(NamedTuple):
    """Ways of training on one history.

    Attributes:
        examples: How many.
        pairs: How many targets they have together.
        by_name: `RETRAIN`, `FULL` where that is another, `ALL`, `ONE` and `IALS`.
        seed: Of the intervals.
    """

    examples: int
    pairs: int
    by_name: Mapping[str, Trained]
    seed: int = 0

    def lines(self) -> list[str]:
        """A table for a person, and each reading of "how many times as fast"."""
        mine, every, one = (self.by_name[name] for name in (RETRAIN, ALL, ONE))
        return [
            f"{self.examples:,} examples, {self.pairs:,} pairs; NDCG@10 on {len(mine.ndcg):,} held-out learners",
            "| training | a sample is | samples/s | pairs/s | passes | CPU s | NDCG@10 | less the retrain's, 95 % |",
            "|---|---|---|---|---|---|---|---|",
            *(self._row(name, trained) for name, trained in self.by_name.items()),
            *self._beside_full(mine),
            f"samples/s, each an example with all of its targets: {mine.samples_per_s / every.samples_per_s:.1f} x",
            f"pairs/s beside fit with one target a sample: {mine.pairs_per_s / one.pairs_per_s:.1f} x",
            *(f"CPU s to the same NDCG@10, {name}: {_times(self.by_name[name], mine)}" for name in (ALL, ONE)),
        ]

    def _beside_full(self, mine: Trained) -> list[str]:
        full = self.by_name.get(FULL)
        return [f"samples/s beside the full softmax: {mine.samples_per_s / full.samples_per_s:.1f} x"] if full else []

    def _row(self, name: str, one: Trained) -> str:
        less = "–"
        if name != RETRAIN:
            mean, low, high = paired_bootstrap(one.ndcg, self.by_name[RETRAIN].ndcg, seed=self.seed)
            less = f"{mean:+.4f} ({low:+.4f} … {high:+.4f})"
        speeds = " | ".join("–" if np.isnan(each) else f"{each:,.0f}" for each in (one.samples_per_s, one.pairs_per_s))
        passes = "–" if np.isnan(one.passes) else f"{one.passes:.2f}"
        cells = (name, one.sample, speeds, passes, f"{one.cpu_s:.1f}", f"{one.ndcg.mean():.4f}", less)
        return f"| {' | '.join(cells)} |"


def _times(one: Trained, mine: Trained) -> str:
    ratio = f"{one.cpu_s / mine.cpu_s:.1f} x the retrain's"
    return ratio if one.reached else f"not reached in {one.passes:.1f} passes, {ratio}"


def compare(
    events: pd.DataFrame,
    courses: Sequence[Course],
    rule: EngagementRule,
    settings: HyperParameters,
    *,
    passes: tuple[int, int],
) -> Comparison:
    """Trains in each way on the first part of a cleaned history, and asks for what came after it.

    Args:
        events: The history.
        courses: The catalogue.
        rule: Of the engagement scores.
        settings: Of towers and training.
        passes: Most of `fit` with all targets, and with one.
    """
    from benchmarks.keras_fit import fit, with_all_targets, with_one_target  # noqa: PLC0415 - TensorFlow
    from recsys.model.training import FULL_SOFTMAX_COURSES  # noqa: PLC0415 - TensorFlow

    before, after, cutoff_ms = split_share(events, CUT)
    encoded, half_life = encode(before, courses, rule), rule.decay.half_life_days
    cases = build_cases(encoded, after, rule, cutoff_ms)
    warm = [case for case in cases if case.user_row >= 0 and len(case.rows)][:MOST_ASKED]
    offered = np.ones(len(courses), dtype=bool)
    told = _told(encoded, cutoff_ms, settings, half_life)

    def judged(towers: Any) -> Doubles:
        return ndcg(TowersAlone(towers, told.popularity[-1], half_life), warm, offered)

    examples, pairs = len(told.examples.user), int(told.examples.targets.nnz)
    found = {RETRAIN: _train(told, pairs / examples, judged, FULL_SOFTMAX_COURSES)}
    if len(courses) > FULL_SOFTMAX_COURSES:
        found[FULL] = _train(told, pairs / examples, judged, len(courses))
    goal = float(found[RETRAIN].ndcg.mean())
    for name, form, most in ((ALL, with_all_targets, passes[0]), (ONE, with_one_target, passes[1])):
        samples = form(told.examples)
        fitted = fit(told, samples, judged, goal, most)
        speed = _samples_per_s(32, fitted.step_s)
        found[name] = Trained(
            sample="a pair" if name == ONE else "an example",
            samples_per_s=speed,
            pairs_per_s=speed * pairs / len(samples.which),
            passes=min(most, len(fitted.step_s) * 32 / len(samples.which)),
            cpu_s=sum(fitted.step_s),
            ndcg=fitted.ndcg,
            reached=fitted.reached,
        )
    began = time.process_time()
    ials, none = Ials(encoded, ALPHA, ALS_DAYS, seed=settings.seed), float("nan")
    cpu_s, found_by_ials = time.process_time() - began, ndcg(ials, warm, offered)
    found[IALS] = Trained("–", none, none, none, cpu_s, found_by_ials, bool(found_by_ials.mean() >= goal))
    return Comparison(examples, pairs, found, settings.seed)


def _told(encoded: EncodedEvents, cutoff_ms: int, settings: HyperParameters, half_life_days: float) -> Any:
    """What every training is given, a `benchmarks.keras_fit.Told`."""
    import keras  # noqa: PLC0415 - TensorFlow

    from batch.ranking.tower_fit import offsets  # noqa: PLC0415 - TensorFlow
    from benchmarks.keras_fit import Told  # noqa: PLC0415 - TensorFlow
    from recsys.model.towers import HybridTowers  # noqa: PLC0415 - TensorFlow

    courses = encoded.courses
    touched = np.bincount(encoded.course, minlength=len(courses)) > 0
    known = [course for course, seen in zip(courses, touched, strict=True) if seen]
    text = fit_text(known, settings, courses).project(courses)
    features = course_features(courses, text, fit_attributes(known), touched)
    examples = tower_examples(encoded, cutoff_ms, settings, half_life_days)
    if examples is None:
        raise SystemExit("nobody of this history liked a second course: there is nothing to train the towers on")

    def towers() -> HybridTowers:
        keras.utils.set_random_seed(settings.seed)
        return HybridTowers(settings, n_users=len(encoded.users), features=features)

    return Told(examples, *offsets(encoded, cutoff_ms, examples.time), towers, settings)


def _train(told: Any, pairs_a_sample: float, judged: Callable[[Any], Doubles], full_softmax_courses: int) -> Trained:
    """As a retrain does, with the softmax sampled in a catalogue of more courses."""
    from recsys.model.training import TowerTraining  # noqa: PLC0415 - TensorFlow

    examples, settings, ticks, batches = told.examples, told.settings, [time.process_time()], list[int]()

    class Counted(TowerInputs):
        """Notes how large the batches are."""

        def batch(self, chosen: NDArray[np.integer[Any]], courses: Rows | None = None) -> tuple[Any, ...]:
            batches.append(len(chosen))
            return super().batch(chosen, courses)

    inputs = Counted(
        user=examples.user, rows=examples.rows, pools=examples.pools, strength=examples.strength,
        targets=examples.targets, known=examples.known, popularity=told.popularity, bucket=told.bucket,
    )  # fmt: skip
    training = TowerTraining(told.towers(), settings, full_softmax_courses=full_softmax_courses)
    training.run(inputs, epochs=settings.epochs, progress=lambda _done, _total: ticks.append(time.process_time()))
    speed = _samples_per_s(batches[0], np.diff(ticks).tolist())
    return Trained(
        sample="an example",
        samples_per_s=speed,
        pairs_per_s=speed * pairs_a_sample,
        passes=float(settings.epochs),
        cpu_s=ticks[-1] - ticks[0],
        ndcg=judged(training.towers),
        reached=True,
    )


def _samples_per_s(batch: int, step_s: Sequence[float]) -> float:
    steps = step_s[COMPILING_STEPS:]
    return batch / float(np.median(steps)) if len(steps) else float("nan")


class TowersAlone:
    """Ranks by user vector · course vector + bias + the learned weights of popularity.

    Args:
        towers: Trained.
        popularity: Log popularity at the cut-off `(n, half-lives)`.
        half_life_days: Of engagement.
    """

    def __init__(self, towers: Any, popularity: Floats, half_life_days: float) -> None:
        self._arrays, self._half_life_days = towers.export(), half_life_days
        none: dict[str, NDArray[Any]] = {
            "indptr": np.zeros(len(popularity) + 1, np.int64),
            "indices": np.zeros(0, np.int32),
            "weights": np.zeros(0, np.float32),
        }
        links = {f"{name}_{part}": array for name in ITEM_ITEM for part, array in none.items()}
        self._model = SignalModel({**self._arrays, **links}, towers.hyperparameters.history_length)
        self._told = popularity @ towers.offset_weights.value.numpy() + self._arrays["course_bias"]

    def score(self, case: Case) -> Floats:
        """See `batch.evaluation.cases.Recommender`."""
        now = decayed(case.stored, at_ms=case.at_ms, half_life_days=self._half_life_days)
        vector = self._model.user_vector(case.user_row + 1, *positive(case.rows, now))
        scores: Floats = self._arrays["course_vectors"] @ vector + self._told
        return scores
