"""What the user tower sees of a learner's engagement. NumPy only; training and serving share it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.engagement import LANDMARK_MS, MS_PER_DAY

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Rows = NDArray[np.int32]

STRENGTH_DIM = 2
LOG_SCALE = 5.0
"""Brings log1p of an engagement total (0 … some 100) to about 0..1."""


class Pool(NamedTuple):
    """One learner's engaged courses, as the user tower pools them.

    Attributes:
        rows: Course rows `(k,)`, highest engagement first.
        weights: Pooling weights `(k,)`, summing to 1.
        strength: Features `(STRENGTH_DIM,)`: how much engagement there is at the time asked for, in how many courses.
    """

    rows: Rows
    weights: Floats
    strength: Floats


class Pools(NamedTuple):
    """The pools of several learners, one after the other.

    Attributes:
        bounds: Entries of learner `i` are those from `bounds[i]` to before `bounds[i + 1]`, `(learners + 1,)`.
        owner: Which learner an entry belongs to `(k,)`, non-decreasing.
        rows: Course rows `(k,)`, highest engagement of a learner first.
        weights: Pooling weights `(k,)`, summing to 1 for each learner that has any.
        relative: The weights relative to the learner's highest, `(k,)`: 1 for a learner's first entry.
        strength: `(learners, STRENGTH_DIM)`, as in `Pool`.
    """

    bounds: NDArray[np.intp]
    owner: NDArray[np.intp]
    rows: Rows
    weights: Floats
    relative: Floats
    strength: Floats


def pool_engagement(
    rows: Rows, stored: Doubles, *, at_ms: int, half_life_days: float, power: float, length: int
) -> Pool:
    """`pool_many` for one learner: course rows `(m,)` and stored sums `(m,)` in any order."""
    owner = np.zeros(len(rows), np.intp)
    pools = pool_many(
        owner, rows, stored, learners=1, at_ms=at_ms, half_life_days=half_life_days, power=power, length=length
    )
    return Pool(pools.rows, pools.weights, pools.strength[0])


def pool_many(
    owner: NDArray[np.intp],
    rows: Rows,
    stored: Doubles,
    *,
    learners: int,
    at_ms: int,
    half_life_days: float,
    power: float,
    length: int,
) -> Pools:
    """Turns stored forward-decayed sums into pooling weights and strength features.

    Weights are relative, so they do not change while a learner does nothing; the strength features do. A learner's
    numbers do not depend on who else is in the batch.

    Args:
        owner: Which learner each sum belongs to `(m,)`, 0 … learners - 1.
        rows: Course rows `(m,)`.
        stored: Stored sums `(m,)`; those that are not positive and finite are left out.
        learners: How many there are.
        at_ms: The time to decay to, ms since 1970 UTC.
        half_life_days: Of the stored sums.
        power: Exponent of the weights.
        length: Most courses kept for a learner.
    """
    keep = np.isfinite(stored) & (stored > 0)
    owner, rows, stored = owner[keep], rows[keep], stored[keep]
    # Logarithms, because a stored sum spans 2^±1022 and its decay factor the inverse.
    log_scores = np.log2(stored)
    decayed = np.exp2(np.minimum(log_scores + (LANDMARK_MS - at_ms) / (half_life_days * MS_PER_DAY), 60.0))
    counts = np.bincount(owner, minlength=learners)
    strength = np.empty((learners, STRENGTH_DIM), np.float32)
    strength[:, 0] = np.log1p(np.bincount(owner, decayed, minlength=learners)) / LOG_SCALE
    strength[:, 1] = np.log1p(counts) / LOG_SCALE
    order = np.lexsort((rows, -log_scores, owner))
    starts = (counts.cumsum() - counts)[owner[order]]
    kept = np.arange(len(order)) - starts < length
    highest = log_scores[order[starts[kept]]]
    order = order[kept]
    owner = owner[order]
    relative = np.exp2((log_scores[order] - highest) * power)
    weights = relative / np.bincount(owner, relative, minlength=learners)[owner]
    bounds = np.zeros(learners + 1, np.intp)
    np.minimum(counts, length).cumsum(out=bounds[1:])
    return Pools(bounds, owner, rows[order], weights.astype(np.float32), relative.astype(np.float32), strength)


@dataclass(frozen=True, slots=True)
class CourseFeatures:
    """What the course tower sees.

    Attributes:
        index: Course embedding row `(n,)`: course row + 1, or 0 for a course nobody has touched yet.
        text: Projected TF-IDF `(n, text_dim)`.
        attributes: Scaled and one-hot attributes `(n, a)`.
    """

    index: Rows
    text: Floats
    attributes: Floats
