"""Ranking metrics of single learners, and their averages with bootstrap intervals."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.model.inputs import Doubles, Floats, Rows

RESAMPLES = 1000


def ranks(scores: Floats, relevant: Rows, candidates: NDArray[np.bool_]) -> Doubles:
    """The place of each relevant course among the candidates, 1 is best, ascending.

    Ties count against the model: a course ranks below every irrelevant one of the same score, and a score that is
    not a number is the worst.

    Args:
        scores: `(n,)`.
        relevant: Course rows `(r,)`.
        candidates: Mask `(n,)` of what may be recommended; a relevant course outside is never found (infinite rank).
    """
    clean = np.where(np.isnan(scores), -np.inf, scores)
    return ranks_among(clean, relevant, candidates, np.sort(clean[candidates]))


def ranks_among(scores: Floats, relevant: Rows, candidates: NDArray[np.bool_], ascending: Floats) -> Doubles:
    """As `ranks`, of scores that are numbers; `ascending` are those of the candidates, sorted once for many calls."""
    found = np.sort(scores[relevant[candidates[relevant]]])
    at_least = len(ascending) - np.searchsorted(ascending, found, side="left")
    mine = len(found) - np.searchsorted(found, found, side="left")
    placed = (at_least - mine)[::-1] + np.arange(1, len(found) + 1)
    return np.concatenate([placed, np.full(len(relevant) - len(found), np.inf)])


def recall_at(places: Doubles, k: int) -> float:
    """Share of the relevant courses within the first `k`."""
    return float(np.mean(places <= k))


def ndcg_at(places: Doubles, k: int) -> float:
    """Normalised discounted cumulative gain with binary relevance; the ideal list holds min(k, relevant) hits."""
    gain = np.sum(1.0 / np.log2(places[places <= k] + 1.0))
    ideal = np.sum(1.0 / np.log2(np.arange(2, min(k, len(places)) + 2)))
    return float(gain / ideal)


def reciprocal_rank(places: Doubles) -> float:
    """1 / the place of the first relevant course, over the whole catalogue."""
    return float(1.0 / places[0])


class Interval(NamedTuple):
    """A mean with its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float


def bootstrap(values: Doubles, *, seed: int) -> Interval:
    """Mean of per-learner values `(u,)` with a percentile interval over resampled learners."""
    if not len(values):
        return Interval(0.0, 0.0, 0.0)
    rng = np.random.default_rng(seed)
    # Some resamples at a time: little memory.
    draws = (rng.integers(0, len(values), size=(100, len(values))) for _ in range(RESAMPLES // 100))
    means = np.concatenate([values[drawn].mean(axis=1) for drawn in draws])
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(float(values.mean()), float(low), float(high))


def paired_bootstrap(mine: Doubles, other: Doubles, *, seed: int) -> Interval:
    """The mean difference of two models on the same learners, with its interval; both `(u,)`."""
    return bootstrap(mine - other, seed=seed)
