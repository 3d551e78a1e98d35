"""How the user tower pools a learner's history. NumPy only; training and serving share it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recsys.model.inputs import Floats

POOLS = 5
"""Weights by the square, the value and the root of the relative engagement, equal weights, and weights by rank."""

RANK_HALF = 3.0
STRENGTH_DIM = 2


def pool_weights(relative: NDArray[np.floating], rank: NDArray[np.integer]) -> Floats:
    """The unnormalised weight of a history entry in each pool.

    Args:
        relative: Engagement over the learner's highest, in (0, 1], any shape `s`; 0 where padded.
        rank: 0 for the learner's most engaged course, 1 for the next, same shape.

    Returns:
        Weights `s + (POOLS,)`; all 0 where padded.
    """
    some = relative > 0
    by_rank = np.where(some, np.exp2(-rank / RANK_HALF), 0.0)
    pools = (relative * relative, relative, np.sqrt(relative), some, by_rank)
    return np.stack(pools, axis=-1).astype(np.float32)


def strength(courses: NDArray[np.floating], engagement: NDArray[np.floating]) -> Floats:
    """How much history there is: log1p of the number of courses and of their engagement, `(..., STRENGTH_DIM)`."""
    return np.log1p(np.stack([courses, engagement], axis=-1)).astype(np.float32)
