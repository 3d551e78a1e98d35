"""The signals the ranker mixes: what each part of the model says of every course for one learner. NumPy only.

Item-item signals are `v @ M` with `v` the square roots of the learner's decayed sums; the towers' signal is the product
of user and course vectors. Each is standardised over the courses the learner has not touched, so that the mixer's
weights mean the same for everybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.model.history import pool_weights, strength
from recsys.model.inputs import Doubles, Floats, Rows

ITEM_ITEM = ("ease", "future", "text")
SIGNALS = (*ITEM_ITEM, "towers")
LOWEST, HIGHEST = -8.0, 40.0
"""Standardised signals are clipped to this range."""

_SMALLEST_DEVIATION = 1e-6


def standardised(signal: Floats, touched: Rows) -> Floats:
    """A signal `(n,)` less its mean, over its deviation, both taken over the courses not in `touched`; those get 0."""
    signal[touched] = 0.0
    others = max(1, len(signal) - len(touched))
    mean = signal.sum() / others
    deviation = np.sqrt(max(0.0, float(signal @ signal) / others - float(mean) ** 2))
    result: Floats = np.clip((signal - mean) / np.float32(deviation + _SMALLEST_DEVIATION), LOWEST, HIGHEST)
    result[touched] = 0.0
    return result


class SignalModel:
    """Computes the signals from a bundle's arrays; immutable.

    Args:
        arrays: `<name>_indptr`, `<name>_indices`, `<name>_weights` for each of `ITEM_ITEM`, and the towers' arrays.
        history_length: Most courses the user tower pools.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], history_length: int) -> None:
        self._arrays, self._length = arrays, history_length
        self._links = {name: arrays[f"{name}_indices"].astype(np.intp) for name in ITEM_ITEM}
        self.n_courses = len(arrays["course_bias"])

    def signals(self, user_row: int, rows: Rows, scores: Doubles, touched: Rows) -> Floats:
        """Of one learner, `(len(SIGNALS), n)`.

        Args:
            user_row: Row of the user embeddings; 0 is the unknown user.
            rows: Courses of positive engagement `(m,)`, highest first.
            scores: Their decayed sums `(m,)`.
            touched: All courses of the learner's history, liked or not.
        """
        root = np.sqrt(scores).astype(np.float32)
        raw = [self._item_item(name, rows, root) for name in ITEM_ITEM]
        raw.append(
            self._arrays["course_vectors"] @ self.user_vector(user_row, rows, scores) + self._arrays["course_bias"]
        )
        return np.stack([standardised(signal, touched) for signal in raw])

    def user_vector(self, user_row: int, rows: Rows, scores: Doubles) -> Floats:
        """The user tower's vector `(vector_dim,)`."""
        a = self._arrays
        kept, best = rows[: self._length], scores[: self._length]
        size = a["history_vectors"].shape[1]
        pooled = np.zeros((a["hidden_kernel"].shape[0] - 2 - a["user_embeddings"].shape[1]) // size * size, np.float32)
        if len(kept):
            weights = pool_weights(best / best[0], np.arange(len(best)))
            weights /= weights.sum(axis=0)
            pooled = (weights.T @ a["history_vectors"][kept]).ravel()
        much = strength(np.array(len(rows), np.float64), np.asarray(scores.sum()))
        features = np.concatenate([pooled, much, a["user_embeddings"][user_row]])
        hidden = np.maximum(features @ a["hidden_kernel"] + a["hidden_bias"], 0.0)
        vector: Floats = hidden @ a["output_kernel"] + a["output_bias"]
        return vector

    def _item_item(self, name: str, rows: Rows, root: Floats) -> Floats:
        a = self._arrays
        starts = a[f"{name}_indptr"][rows]
        lengths = a[f"{name}_indptr"][rows + 1] - starts
        before = np.cumsum(lengths) - lengths
        positions = (starts - before).repeat(lengths) + np.arange(lengths.sum())
        weights = a[f"{name}_weights"][positions] * root.repeat(lengths)
        summed = np.bincount(self._links[name][positions], weights, minlength=self.n_courses)
        values: Floats = summed.astype(np.float32)
        return values


def positive(rows: Rows, scores: Doubles) -> tuple[Rows, Doubles]:
    """The courses of positive engagement, highest first, equal ones by row."""
    some = scores > 0
    order = np.lexsort((rows[some], -scores[some]))
    return rows[some][order], scores[some][order]


def log_context(courses: int, engagement: float) -> Floats:
    """What the mixer's network sees of a learner: log1p of courses and engagement `(2,)`."""
    context: Floats = np.log1p(np.array([courses, engagement])).astype(np.float32)
    return context
