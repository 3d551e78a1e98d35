"""Which weights of item-item matrices are kept: the largest of each row, without the whole matrix in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recsys.model.inputs import Floats, Rows

CELLS = 1 << 22
"""Weights made at a time: 16 MiB, and three times as much while they are pruned."""


def largest_of_each(group: NDArray[np.integer[Any]], size: Floats, most: int) -> NDArray[np.intp]:
    """Places of at most so many largest entries of each group, from `group` and `size` `(e,)`."""
    order = np.lexsort((-size, group))
    ordered = group[order]
    begins = np.searchsorted(ordered, ordered, side="left")
    chosen: NDArray[np.intp] = order[np.arange(len(order)) - begins < most]
    return chosen


def strongest(weights: Callable[[Rows], sparse.csr_array], n: int, per_row: int) -> sparse.csr_array:
    """Keeps the `per_row` weights of largest size in each row of `(n, n)`, all that tie with the last.

    Args:
        weights: Gives rows `(r, n)`; called for some rows at a time, so that the whole need never be in memory.
        n: Size of the matrix.
        per_row: How many are kept.
    """
    parts = []
    step = max(1, CELLS // max(1, n))
    for start in range(0, n, step):
        part = weights(np.arange(start, min(n, start + step), dtype=np.int32))
        part.eliminate_zeros()
        counts = np.diff(part.indptr)
        many = np.flatnonzero(counts > per_row)
        if len(many):
            row = np.arange(len(counts)).repeat(counts)
            place = np.arange(len(row)) - part.indptr[row]
            size, at = np.abs(part.data), np.full(len(counts), -1)
            at[many] = np.arange(len(many))
            theirs = at[row] >= 0
            padded = np.zeros((len(many), counts.max()), np.float32)
            padded[at[row[theirs]], place[theirs]] = size[theirs]
            floor = np.zeros(len(counts), np.float32)
            floor[many] = np.partition(padded, -per_row, axis=1)[:, -per_row]
            part.data[size < floor[row]] = 0.0
            part.eliminate_zeros()
        parts.append(part)
    return sparse.csr_array(sparse.vstack(parts, format="csr"))


def dense_strongest(weights: Floats, per_row: int) -> sparse.csr_array:
    """As `strongest`, of dense rows `(r, k)` that are at hand; nothing where a weight is 0."""
    size, width = np.abs(weights), weights.shape[1]
    kept = size > 0
    if per_row < width:
        kept &= size >= np.partition(size, width - per_row, axis=1)[:, width - per_row, None]
    places = np.flatnonzero(kept)
    bounds = np.concatenate([[0], np.count_nonzero(kept, axis=1).cumsum()])
    return sparse.csr_array((weights.ravel()[places], places % width, bounds), shape=weights.shape)
