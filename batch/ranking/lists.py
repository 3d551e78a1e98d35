"""Training lists of the mixer: the candidates of some learners at one snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from batch.ranking.snapshots import Snapshot
from recsys.model.course_features import NAMES
from recsys.model.inputs import Floats, Rows
from recsys.model.ranking_lists import MOST_EXTRA, NEVER, candidates, sizes
from recsys.model.signals import SIGNALS, SignalModel, log_context, positive

BASE_SIGNALS = tuple(SIGNALS.index(name) for name in ("ease", "future", "towers"))
BASE_FEATURES = tuple(NAMES.index(name) for name in ("popularity_14d", "popularity_60d", "first_touches_30d"))


class Lists(NamedTuple):
    """Training lists: `l` learners with `c` candidates each.

    Attributes:
        signals: Standardised `(l, c, s)`.
        features: Course features `(l, c, f)`, not standardised.
        context: `(l, 2)`.
        labels: 1 for what was newly liked `(l, c)`.
        log_inverse: Log of the inverse probability with which a candidate was drawn, `NEVER` for padding `(l, c)`.
    """

    signals: Floats
    features: Floats
    context: Floats
    labels: Floats
    log_inverse: Floats


@dataclass(frozen=True, slots=True)
class Scaling:
    """Means and deviations of features `(f,)` and context `(2,)`."""

    feature_mean: Floats
    feature_scale: Floats
    context_mean: Floats
    context_scale: Floats


def training_lists(
    at: Snapshot, model: SignalModel, features: Floats, learners: Rows, rng: np.random.Generator
) -> Lists:
    """The lists of some learners.

    Args:
        at: The snapshot; its labels are what a list is asked for.
        model: Signals made from what came before the snapshot.
        features: Course features at the snapshot `(n, f)`.
        learners: Rows with engagement and labels.
        rng: Draws the random candidates.
    """
    n = len(features)
    common = _standardised(features[:, BASE_FEATURES]).mean(axis=1)
    width = sum(sizes(n)) + MOST_EXTRA
    lists = Lists(
        signals=np.zeros((len(learners), width, len(SIGNALS)), np.float32),
        features=np.zeros((len(learners), width, features.shape[1]), np.float32),
        context=np.zeros((len(learners), 2), np.float32),
        labels=np.zeros((len(learners), width), np.float32),
        log_inverse=np.full((len(learners), width), NEVER, np.float32),
    )
    for place, learner in enumerate(learners):
        touched = _row(at.seen.indices, at.seen.indptr, learner)
        rows, scores = positive(
            _row(at.sums.indices, at.sums.indptr, learner), _row(at.sums.data, at.sums.indptr, learner)
        )
        signals = model.signals(0, rows, scores, touched)
        base = signals[list(BASE_SIGNALS)].mean(axis=0) + common
        labels = _row(at.labels.indices, at.labels.indptr, learner)
        hidden = np.setdiff1d(touched, labels)  # a policy may show again what a learner has seen
        chosen, log_inverse = candidates(base, hidden, labels, rng)
        some = slice(0, len(chosen))
        lists.signals[place, some] = signals[:, chosen].T
        lists.features[place, some] = features[chosen]
        lists.context[place] = log_context(len(rows), scores.sum())
        lists.labels[place, some] = np.isin(chosen, labels)
        lists.log_inverse[place, some] = log_inverse
    return lists


def together(parts: list[Lists]) -> Lists:
    """The lists of several snapshots as one."""
    return Lists(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _standardised(columns: Floats) -> Floats:
    scaled: Floats = (columns - columns.mean(axis=0)) / (columns.std(axis=0) + 1e-6)
    return scaled


def _row(values: np.ndarray, indptr: np.ndarray, row: int) -> np.ndarray:
    return values[indptr[row] : indptr[row + 1]]
