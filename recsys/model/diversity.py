"""A list re-ranked so that it is not all of one kind. NumPy only.

Two ways: maximal marginal relevance (Carbonell and Goldstein: "The use of MMR", SIGIR 1998), which takes a course less
for being like those above it, and a cap on courses of one category.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from recsys.model.inputs import Floats


def mmr(relevance: Floats, similarity: Floats, n: int, *, weight: float) -> list[int]:
    """Positions of the re-ranked list, best first.

    Args:
        relevance: Scores of the candidates `(c,)`; scaled here to 0 … 1.
        similarity: Of each pair of candidates, 0 … 1, `(c, c)`.
        n: Length of the list.
        weight: Of relevance beside 1 − weight for being unlike what is above; 1 changes nothing.
    """
    spread = float(np.ptp(relevance)) or 1.0
    scaled = (relevance - relevance.min()) / spread
    chosen: list[int] = []
    nearest = np.zeros(len(relevance), np.float32)
    free = np.ones(len(relevance), dtype=bool)
    while len(chosen) < min(n, len(relevance)):
        value = np.where(free, weight * scaled - (1.0 - weight) * nearest, -np.inf)
        best = int(np.argmax(value))
        chosen.append(best)
        free[best] = False
        nearest = np.maximum(nearest, similarity[best])
    return chosen


def capped(categories: Sequence[str], n: int, *, most: int) -> list[int]:
    """Positions of a list with at most `most` courses of one category, in their order, filled up with the left out.

    Args:
        categories: Of the candidates, best first; "" is no category and is not capped.
        n: Length of the list.
        most: Courses of one category.
    """
    seen: Counter[str] = Counter()
    kept: list[int] = []
    left: list[int] = []
    for place, category in enumerate(categories):
        seen[category] += 1
        (left if category and seen[category] > most else kept).append(place)
    return (kept + left)[:n] if len(kept) < n else kept[:n]
