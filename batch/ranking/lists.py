"""Training lists of the mixer: the candidates of some learners at one snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from batch.ranking.snapshots import Snapshot
from recsys.model.course_features import NAMES
from recsys.model.inputs import Floats, Rows
from recsys.model.signals import SIGNALS, SignalModel, log_context, positive

BEST = 150
"""Candidates with the highest base score; a list is mostly about these."""

RANDOM = 100
MOST_EXTRA = 40
"""Positives that are neither among the best nor drawn."""

NEVER = -1e9
"""Log inverse probability of what is no candidate."""

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
    best, drawn = min(BEST, n // 2), min(RANDOM, n // 4)
    common = _standardised(features[:, BASE_FEATURES]).mean(axis=1)
    width = best + drawn + MOST_EXTRA
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
        candidates, log_inverse = _candidates(base, touched, labels, best, drawn, rng)
        some = slice(0, len(candidates))
        lists.signals[place, some] = signals[:, candidates].T
        lists.features[place, some] = features[candidates]
        lists.context[place] = log_context(len(rows), scores.sum())
        lists.labels[place, some] = np.isin(candidates, labels)
        lists.log_inverse[place, some] = log_inverse
    return lists


def together(parts: list[Lists]) -> Lists:
    """The lists of several snapshots as one."""
    return Lists(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _candidates(
    base: Floats, touched: Rows, labels: Rows, best: int, drawn: int, rng: np.random.Generator
) -> tuple[Rows, Floats]:
    """Candidate rows and their log inverse probabilities: the best, some others, and positives among neither."""
    ranked = base.copy()
    hidden = np.setdiff1d(touched, labels)  # a policy may show again what a learner has seen
    ranked[hidden] = -np.inf
    chosen = np.argpartition(-ranked, best)[:best]
    free = np.isfinite(ranked)
    free[chosen] = False
    rest = np.flatnonzero(free)
    others = rng.choice(rest, min(drawn, len(rest)), replace=False)
    extra = np.setdiff1d(labels, np.concatenate([chosen, others]))
    if len(extra) > MOST_EXTRA:
        extra = rng.choice(extra, MOST_EXTRA, replace=False)
    candidates = np.concatenate([chosen, others, extra]).astype(np.int32)
    weight = np.log(max(1.0, len(rest) / max(1, len(others))))
    log_inverse = np.concatenate([np.zeros(best), np.full(len(others), weight), np.zeros(len(extra))])
    log_inverse[np.isin(candidates, labels)] = 0.0
    log_inverse[~np.isfinite(ranked[candidates])] = NEVER
    return candidates, log_inverse.astype(np.float32)


def _standardised(columns: Floats) -> Floats:
    scaled: Floats = (columns - columns.mean(axis=0)) / (columns.std(axis=0) + 1e-6)
    return scaled


def _row(values: np.ndarray, indptr: np.ndarray, row: int) -> np.ndarray:
    return values[indptr[row] : indptr[row + 1]]
