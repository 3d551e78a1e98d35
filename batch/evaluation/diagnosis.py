"""Why the hybrid ranks as it does: what each part carries, whom it trusts with what, and whether its scores are shares.

Computed from the model that was evaluated and its test side; nothing is trained here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from batch.encoding import EncodedEvents
from batch.evaluation.cases import Case
from batch.evaluation.experiment import Experiment
from batch.evaluation.labels import named
from batch.evaluation.tuning import sampled
from batch.metrics import Interval, bootstrap, ndcg_at, paired_bootstrap, ranks
from recsys.model.bundle import Draft
from recsys.model.course_features import NAMES
from recsys.model.inputs import Doubles, Floats
from recsys.model.mixed_affinity import decayed
from recsys.model.ranker import Ranker
from recsys.model.signals import ITEM_ITEM, SIGNALS

MOST_LEARNERS = 800
CONTEXT_COURSES = (1, 3, 10, 30, 100)
"""Numbers of courses at which the learned weights are shown."""

BINS = 12
_LOWEST_SHARE = 1e-6
FULL = "everything"


@dataclass(frozen=True, slots=True)
class Part:
    """The hybrid with something switched off while it ranks; its mixer is not trained again.

    Attributes:
        name: What is switched off, or what alone is left.
        ndcg: NDCG@10 with its interval.
        difference: Of the whole hybrid minus this, paired by learner.
    """

    name: str
    ndcg: Interval
    difference: Interval


@dataclass(frozen=True, slots=True)
class Calibration:
    """Predicted beside observed shares, in bins of the prediction.

    Attributes:
        predicted: Mean softmax of the scores over what may be shown `(b,)`.
        observed: Mean share of the learner's new likes that fell on such courses `(b,)`.
        courses: How many there are in the bin, over all learners `(b,)`.
    """

    predicted: Doubles
    observed: Doubles
    courses: Doubles

    @property
    def error(self) -> float:
        """Half the sum of the differences between predicted and observed mass: 0 is perfect, 1 the worst."""
        mass, likes = self.predicted * self.courses, self.observed * self.courses
        total = max(float(likes.sum()), 1e-12)
        return float(np.abs(mass / max(float(mass.sum()), 1e-12) - likes / total).sum() / 2)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found.

    Attributes:
        parts: The whole hybrid first.
        weights: Name of a signal or feature → its learned weight at each of `CONTEXT_COURSES`.
        calibration: Of the scores.
        learners: How many were looked at.
    """

    parts: Sequence[Part]
    weights: Mapping[str, Sequence[float]]
    calibration: Calibration
    learners: int


def diagnose(experiment: Experiment) -> Diagnosis:
    """Looks into the evaluated hybrid on at most `MOST_LEARNERS` learners of its test side."""
    seed = experiment.hyperparameters.seed
    cases = sampled(experiment.cases, MOST_LEARNERS, seed)
    model = experiment.model
    ranker = Ranker(model.arrays, model.settings.history_length)
    off = switched_off()
    values: dict[str, list[float]] = {name: [] for name in off}
    shares = _Shares()
    for case in cases:
        weights, inputs = _terms(ranker, model, case)
        candidates = experiment.facts.offered.copy()
        candidates[case.excluded] = False
        for name, mask in off.items():
            scores = ((weights * mask) @ inputs).astype(np.float32)
            values[name].append(ndcg_at(ranks(scores, case.relevant, candidates), 10))
            if name == FULL:
                shares.add(scores, case.relevant, candidates)
    full = np.array(values[FULL])
    parts = [
        Part(name, bootstrap(np.array(found), seed=seed), paired_bootstrap(full, np.array(found), seed=seed))
        for name, found in values.items()
    ]
    return Diagnosis(parts, weights_by_context(ranker, experiment.encoded), shares.calibration(), len(cases))


def switched_off() -> dict[str, Floats]:
    """Name → mask over signals and features `(s + f,)`, the whole hybrid first."""
    width, signals = len(SIGNALS) + len(NAMES), len(SIGNALS)
    masks = {FULL: np.ones(width, np.float32)}
    for place, signal in enumerate(SIGNALS):
        masks[f"without {named(signal)}"] = _off(width, [place])
    masks["without EASE and future"] = _off(width, [SIGNALS.index("ease"), SIGNALS.index("future")])
    masks["without all popularities"] = _off(
        width, [signals + place for place, name in enumerate(NAMES) if name.startswith(("popularity", "first_touches"))]
    )
    masks["without course features"] = _off(width, range(signals, width))
    masks["course features alone"] = _off(width, range(signals))
    masks["towers alone"] = 1.0 - _off(width, [SIGNALS.index("towers")])
    masks["EASE, future and text alone"] = 1.0 - _off(width, [SIGNALS.index(name) for name in ITEM_ITEM])
    return masks


def weights_by_context(ranker: Ranker, encoded: EncodedEvents) -> dict[str, list[float]]:
    """The learned weights of learners with so many courses, each of the mean engagement a course."""
    pairs = max(1, encoded.touched().nnz)
    each = float(encoded.weight[encoded.weight > 0].sum()) / pairs
    columns = np.stack([ranker.weights(courses, courses * each) for courses in CONTEXT_COURSES])
    return {name: columns[:, place].tolist() for place, name in enumerate((*SIGNALS, *NAMES))}


def _terms(ranker: Ranker, model: Draft, case: Case) -> tuple[Floats, Floats]:
    """The weights of one learner and what they weigh."""
    now = decayed(case.stored, at_ms=case.at_ms, half_life_days=model.engagement.half_life_days)
    liked = now[now > 0]
    return ranker.weights(len(liked), float(liked.sum())), ranker.inputs(case.user_row + 1, case.rows, now)


def _off(width: int, places: Sequence[int]) -> Floats:
    mask = np.ones(width, np.float32)
    mask[list(places)] = 0.0
    return mask


class _Shares:
    """Sums of predicted and observed shares by bin of the prediction."""

    def __init__(self) -> None:
        self._edges = np.geomspace(_LOWEST_SHARE, 1.0, BINS + 1)
        self._sums = np.zeros((3, BINS))

    def add(self, scores: Floats, relevant: NDArray[np.integer], candidates: NDArray[np.bool_]) -> None:
        among = scores[candidates].astype(np.float64)
        predicted = np.exp(among - among.max())
        predicted /= predicted.sum()
        labels = np.zeros(len(scores))
        labels[relevant] = 1.0 / len(relevant)
        bins = np.clip(np.searchsorted(self._edges, predicted, side="right") - 1, 0, BINS - 1)
        for row, values in enumerate((predicted, labels[candidates], np.ones(len(among)))):
            self._sums[row] += np.bincount(bins, values, minlength=BINS)

    def calibration(self) -> Calibration:
        predicted, observed, courses = self._sums[:, self._sums[2] > 0]
        return Calibration(predicted / courses, observed / courses, courses)
