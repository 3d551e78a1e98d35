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


def pool_engagement(
    rows: Rows, stored: Doubles, *, at_ms: int, half_life_days: float, power: float, length: int
) -> Pool:
    """Turns stored forward-decayed sums into pooling weights and strength features.

    Weights are relative, so they do not change while a learner does nothing; the strength features do.

    Args:
        rows: Course rows `(m,)`.
        stored: Stored sums `(m,)`; those that are not positive and finite are left out.
        at_ms: The time to decay to, ms since 1970 UTC.
        half_life_days: Of the stored sums.
        power: Exponent of the weights.
        length: Most courses kept.
    """
    keep = np.isfinite(stored) & (stored > 0)
    rows, stored = rows[keep], stored[keep]
    if not rows.size:
        return Pool(np.zeros(0, np.int32), np.zeros(0, np.float32), np.zeros(STRENGTH_DIM, np.float32))
    # Logarithms, because a stored sum spans 2^±1022 and its decay factor the inverse.
    log_scores = np.log2(stored)
    decayed = np.exp2(np.minimum(log_scores + (LANDMARK_MS - at_ms) / (half_life_days * MS_PER_DAY), 60.0))
    strength = np.log1p(np.array([decayed.sum(), rows.size])) / LOG_SCALE
    order = np.lexsort((rows, -log_scores))[:length]
    weights = np.exp2((log_scores[order] - log_scores[order[0]]) * power)
    return Pool(rows[order], (weights / weights.sum()).astype(np.float32), strength.astype(np.float32))


class Examples(NamedTuple):
    """Positives to train on; examples of one learner at one time share a history (a group).

    Attributes:
        user: User embedding row `(e,)`, 1 and up; 0 is the unknown user.
        course: Course row `(e,)`.
        time: ms since 1970 UTC `(e,)`.
        weight: Weight in the loss `(e,)`, mean 1.
        group: Row of the arrays below `(e,)`.
        history_rows: Course rows `(g, history_length)`, 0 where padded.
        history_weights: Pooling weights `(g, history_length)`, 0 where padded, summing to 1 or 0.
        strength: `(g, STRENGTH_DIM)`.
    """

    user: Rows
    course: Rows
    time: NDArray[np.int64]
    weight: Floats
    group: Rows
    history_rows: Rows
    history_weights: Floats
    strength: Floats


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
