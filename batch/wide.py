"""The item-item part: EASE weights (Steck: "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019)."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from batch.encoding import EncodedEvents
from recsys.engagement import MS_PER_DAY
from recsys.model.inputs import Floats

MAX_COURSES = 8000
"""The closed form inverts a dense courses × courses matrix; the least touched courses beyond this get no weights."""


def liked_matrix(encoded: EncodedEvents, half_life_days: float = np.inf) -> sparse.csr_array:
    """User × course, 2^(−age/half-life) of the newest liking contribution that holds, 0 where there is none."""
    liked = encoded.liked()
    age_days = (encoded.time[-1] - encoded.time[liked]) / MS_PER_DAY
    pair = encoded.user[liked].astype(np.int64) * len(encoded.courses) + encoded.course[liked]
    # Contributions are in time order, so the last of a pair is its newest.
    pairs, last = np.unique(pair[::-1], return_index=True)
    values = np.exp2(-age_days[::-1][last] / half_life_days)
    return sparse.csr_array((values, np.divmod(pairs, len(encoded.courses))), shape=encoded.shape)


def ease(liked: sparse.csr_array, l2: float) -> Floats:
    """Item-item weights `(n_courses, n_courses)`: row `i` is what having liked course `i` adds to each course.

    Args:
        liked: User × course.
        l2: Ridge penalty.
    """
    n = liked.shape[1]
    counts = np.bincount(liked.indices, minlength=n)
    kept = np.sort(np.argsort(-counts, kind="stable")[: min(MAX_COURSES, int((counts > 0).sum()))])
    part = liked[:, kept]
    gram = np.asarray((part.T @ part).todense(), dtype=np.float64)
    gram[np.diag_indices_from(gram)] += l2
    inverse = np.linalg.inv(gram)
    weights = np.zeros((n, n), np.float32)
    weights[np.ix_(kept, kept)] = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return weights


def strongest(weights: Floats, neighbours: int) -> sparse.csr_array:
    """Keeps the `neighbours` weights of largest size in each row."""
    n = len(weights)
    if neighbours < n:
        size = np.abs(weights)
        floor = np.partition(size, n - neighbours, axis=1)[:, n - neighbours, None]
        weights = np.where(size >= floor, weights, np.float32(0))
    return sparse.csr_array(weights)
