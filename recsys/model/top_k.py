"""The highest scores of each row of a matrix, exactly and in one pass over the batch. NumPy only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating[Any]]
Indices = NDArray[np.intp]
Exact = Callable[[Indices, Indices], Scores]
"""Scores of single cells, from their rows `(c,)` and columns `(c,)`."""

GROUP = 8
"""Columns whose highest score stands for them in the first look."""

LEAST_GROUPS = 4
"""Groups for each place of a list, from which that look is worth its while."""


class TopK(NamedTuple):
    """The chosen columns of every row, one row after the other, best first within a row.

    Attributes:
        counts: How many columns each row has got, `(rows,)`; at most the number asked for.
        columns: `(counts.sum(),)`.
        scores: Aligned with `columns`, non-increasing within a row.
    """

    counts: Indices
    columns: Indices
    scores: Scores


def top_k(scores: Scores, k: int, *, slack: float | Scores = 0.0, exact: Exact | None = None) -> TopK:
    """The `k` highest finite scores of each row; equal scores by column.

    A matrix product rounds a cell differently in batches of different sizes. Where the result must not depend on the
    batch, `exact` scores the cells that may be among the best anew, each for itself.

    Args:
        scores: `(rows, columns)`; what is not finite is never chosen.
        k: Most columns of a row.
        slack: How far below the k-th score of its row, `(rows,)` or one for all, a cell can lie and yet be among the
            `k` best by `exact`: twice the largest difference between `scores` and `exact`.
        exact: The scores to order by and to return; None takes `scores`.
    """
    rows, columns = scores.shape
    k = min(k, columns)
    if k <= 0 or not rows:
        return TopK(np.zeros(rows, np.intp), np.zeros(0, np.intp), np.zeros(0, scores.dtype))
    if not (scores.max(axis=1) < np.inf).all():  # false for NaN, too
        scores = np.where(np.isfinite(scores), scores, -np.inf).astype(scores.dtype)
    floor = _floor(scores, k)
    lowest = np.maximum(floor - slack, np.finfo(scores.dtype).min)  # never -inf: those are not to be chosen
    # Everything tied with the last place takes part, so that ties fall by column and not by what partition left.
    owner, column = np.divmod(np.flatnonzero(scores >= lowest[:, None].astype(scores.dtype)), columns)
    values = scores[owner, column] if exact is None else exact(owner, column)
    order = np.lexsort((-values, owner))  # stable, and cells come by column
    owner, column, values = owner[order], column[order], values[order]
    found = np.bincount(owner, minlength=rows)
    chosen = np.arange(len(owner)) - (found.cumsum() - found)[owner] < k
    return TopK(np.minimum(found, k), column[chosen], values[chosen])


def _floor(scores: Scores, k: int) -> Scores:
    """Of each row a number that at least `k` of its scores reach, `(rows,)`, and few others do.

    Where the highest scores of `k` groups of columns reach a number, `k` scores do. So the k-th highest of the groups'
    highest is such a number, and it is found among fewer than the k-th highest of all.
    """
    rows, columns = scores.shape
    groups = columns // GROUP
    if groups < LEAST_GROUPS * k:  # then too many others would reach it
        return np.partition(scores, columns - k, axis=1)[:, columns - k]
    highest: Scores = scores[:, : groups * GROUP].reshape(rows, GROUP, groups).max(axis=1)
    return np.partition(highest, groups - k, axis=1)[:, groups - k]


def top_rows(scores: Scores, n: int) -> list[int]:
    """The positions of the `n` highest finite scores `(m,)`, best first, equal scores by position."""
    chosen: list[int] = top_k(scores[None], n).columns.tolist()
    return chosen
