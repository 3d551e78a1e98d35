"""Lists from which the ranker's weights are learned: their candidates, and what some weights cost on them. NumPy only.

The cost is a smooth NDCG (Qin, Liu, Li: "A general approximation framework for direct optimization of information
retrieval measures", Information Retrieval 13, 2010) beside a softmax cross-entropy. Candidates that were drawn with
probability p stand for 1/p of their kind. The batch layer's mixer is trained with the same cost in TensorFlow; a test
holds both equal.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from recsys.model.inputs import Doubles, Floats, Rows

BEST = 150
"""Candidates with the highest base score; a list is mostly about these."""

RANDOM = 100
MOST_EXTRA = 40
"""Positives that are neither among the best nor drawn."""

NEVER = -1e9
"""Log inverse probability of what is no candidate."""

CROSS_ENTROPY = 0.3
SMOOTH_NDCG = 2.0
SHARPNESS = 2.0
"""How steeply the sigmoid rises that stands for "is ranked above"."""

MOST_POSITIVES = 16
CUT_OFF = 10.0
MANY_POSITIVES = 0.8
"""The gain of a list is divided by min(its positives, `CUT_OFF`) to this power."""

MOST_LOG_INVERSE = 8.0
"""Bounds the weight of a drawn candidate in a rank."""

CURVATURE = "mixer_curvature"
"""The array of a bundle with the `curvature` of the retrain's lists. Only the fine-tuner reads it."""

_LISTS_AT_A_TIME = 128


class RankingLists(NamedTuple):
    """`l` lists of `c` candidates with `f` inputs each.

    Attributes:
        inputs: What the ranker weighs `(l, c, f)`.
        base: Scores by the weights as they are `(l, c)`.
        labels: 1 for what was newly liked, at least one in each list `(l, c)`.
        log_inverse: Log of the inverse probability with which a candidate was drawn, `NEVER` for padding `(l, c)`.
    """

    inputs: Floats
    base: Floats
    labels: Floats
    log_inverse: Floats


def sizes(courses: int) -> tuple[int, int]:
    """How many of the best, and how many others, are candidates in a catalogue of so many courses."""
    return min(BEST, courses // 2), min(RANDOM, courses // 4)


def candidates(base: Floats, hidden: Rows, labels: Rows, rng: Generator) -> tuple[Rows, Floats]:
    """Candidate rows of a list: the best, some others, and positives among neither.

    Args:
        base: Scores that say which are the best `(n,)`; −inf for what a list cannot hold.
        hidden: Rows that it cannot hold, too: what the learner knows already.
        labels: Rows of positives.
        rng: Draws the others.

    Returns:
        Rows `(c,)`, and the log inverse probabilities with which they were drawn `(c,)`.
    """
    best, drawn = sizes(len(base))
    ranked = base.copy()
    ranked[hidden] = -np.inf
    chosen = np.argpartition(-ranked, best)[:best]
    free = np.isfinite(ranked)
    free[chosen] = False
    rest = np.flatnonzero(free)
    others = rng.choice(rest, min(drawn, len(rest)), replace=False)
    extra = np.setdiff1d(labels, np.concatenate([chosen, others]))
    if len(extra) > MOST_EXTRA:
        extra = rng.choice(extra, MOST_EXTRA, replace=False)
    rows = np.concatenate([chosen, others, extra]).astype(np.int32)
    weight = np.log(max(1.0, len(rest) / max(1, len(others))))
    log_inverse = np.concatenate([np.zeros(best), np.full(len(others), weight), np.zeros(len(extra))])
    log_inverse[np.isin(rows, labels)] = 0.0
    log_inverse[~np.isfinite(ranked[rows])] = NEVER
    return rows, log_inverse.astype(np.float32)


def cost(lists: RankingLists, moved: Doubles) -> tuple[float, Doubles]:
    """The mean cost over all lists, and its gradient.

    Args:
        lists: At least one.
        moved: What is added to the weights of every learner `(f,)`.
    """
    total, gradient = 0.0, np.zeros(len(moved))
    for some in _parts(lists):
        scores = some.base + some.inputs @ moved.astype(np.float32)
        value, slope = _entropy(some, scores)
        smooth, smooth_slope = _smooth_ndcg(some, scores)
        total += float((CROSS_ENTROPY * value + SMOOTH_NDCG * smooth).sum(dtype=np.float64))
        slopes = CROSS_ENTROPY * slope + SMOOTH_NDCG * smooth_slope
        gradient += np.matmul(slopes[:, None], some.inputs)[:, 0].sum(axis=0, dtype=np.float64)
    return total / len(lists.base), gradient / len(lists.base)


def curvature(lists: RankingLists) -> Doubles:
    """Mean second derivative of the cross-entropy by the weights, at the weights as they are, `(f, f)`.

    It is the Fisher information of a softmax: how much lists of this kind say about each direction of the weights.
    """
    width = lists.inputs.shape[2]
    total = np.zeros((width, width))
    for some in _parts(lists):
        share = _softmax(some.base + some.log_inverse)
        mean = np.matmul(share[:, None], some.inputs)[:, 0].astype(np.float64)
        spread = some.inputs * np.sqrt(share)[:, :, None]
        flat = spread.reshape(-1, width)
        total += flat.T @ flat - mean.T @ mean
    return total / len(lists.base)


def _parts(lists: RankingLists) -> list[RankingLists]:
    """Some lists at a time, so that what is made of them stays small."""
    bounds = range(0, len(lists.base), _LISTS_AT_A_TIME)
    return [RankingLists(*(array[first : first + _LISTS_AT_A_TIME] for array in lists)) for first in bounds]


def _softmax(logits: Floats) -> Floats:
    grown = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Floats = grown / grown.sum(axis=1, keepdims=True)
    return shares


def _entropy(lists: RankingLists, scores: Floats) -> tuple[Floats, Floats]:
    """Cross-entropy of each list `(l,)`, and its slope by each score `(l, c)`."""
    wanted = lists.labels / np.maximum(lists.labels.sum(axis=1, keepdims=True), 1.0)
    share = _softmax(scores + lists.log_inverse)
    return -(np.log(np.maximum(share, 1e-30)) * wanted).sum(axis=1), share - wanted


def _smooth_ndcg(lists: RankingLists, scores: Floats) -> tuple[Floats, Floats]:
    """−smooth NDCG@10 of up to `MOST_POSITIVES` positives of each list `(l,)`, and its slope by each score `(l, c)`."""
    labels = lists.labels > 0
    most = min(MOST_POSITIVES, int(labels.sum(axis=1).max()))
    at = np.argsort(~labels, axis=1, kind="stable")[:, :most]
    positive: NDArray[np.bool_] = np.take_along_axis(labels, at, axis=1)
    theirs: Floats = np.take_along_axis(scores, at, axis=1)
    drawn = np.exp(np.minimum(lists.log_inverse, np.float32(MOST_LOG_INVERSE)))
    weight = np.where(lists.log_inverse < NEVER / 10, np.float32(0), drawn)
    above = _above(theirs, scores)
    rank = 0.5 + np.matmul(above, weight[:, :, None])[:, :, 0]
    discount = np.log(1.0 + rank)
    count = np.maximum(np.minimum(labels.sum(axis=1), CUT_OFF), 1.0).astype(np.float32) ** np.float32(MANY_POSITIVES)
    cost = -np.log(2.0) * (positive / discount).sum(axis=1) / count
    by_rank = np.where(positive, np.log(2.0) / (discount**2 * (1.0 + rank)), 0.0) / count[:, None]
    by_rank = (SHARPNESS * by_rank).astype(np.float32)
    above *= 1 - above  # the sigmoid's slope
    slope = np.matmul(by_rank[:, None], above)[:, 0] * weight
    slope[np.arange(len(slope))[:, None], at] -= by_rank * np.matmul(above, weight[:, :, None])[:, :, 0]
    return cost.astype(np.float32), slope.astype(np.float32)


def _above(theirs: Floats, scores: Floats) -> Floats:
    """How surely each candidate stands above each positive, `(l, p, c)`, of scores `(l, p)` and `(l, c)`."""
    sharpness = np.float32(SHARPNESS)
    above = (theirs * sharpness)[:, :, None] - (scores * sharpness)[:, None]
    np.clip(above, -60, 60, out=above)
    np.exp(above, out=above)
    above += 1
    found: Floats = np.reciprocal(above, out=above)
    return found
