"""The signals the ranker mixes: what each part of the model says of every course for one learner. NumPy only.

Item-item signals are `v @ M` with `v` the square roots of the learner's decayed sums; the towers' signal is the product
of user and course vectors. Each is standardised over the courses the learner has not touched, so that the mixer's
weights mean the same for everybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.model.history import POOLS, pool_weights, strength
from recsys.model.inputs import Doubles, Floats, Rows

ITEM_ITEM = ("ease", "future", "text")
SIGNALS = (*ITEM_ITEM, "towers")
LOWEST, HIGHEST = -8.0, 40.0
"""Standardised signals are clipped to this range."""

_SMALLEST_DEVIATION = 1e-6
_TOWERS = SIGNALS.index("towers")
LINKS_AT_A_TIME = 1 << 14
"""Item-item links summed at a time, so that what is made of them stays in a processor's cache."""


class Entries(NamedTuple):
    """Courses of some learners, `(k,)` each.

    Attributes:
        owner: Which learner's, as a place in the batch; non-decreasing.
        rows: Course rows.
        scores: Their engagement.
    """

    owner: NDArray[np.intp]
    rows: Rows
    scores: Doubles


def standardised(signal: Floats, touched: Rows) -> Floats:
    """A signal `(n,)` less its mean, over its deviation, both taken over the courses not in `touched`; those get 0."""
    found: Floats = standardised_rows(signal[None], np.zeros(len(touched), np.intp), touched)[0]
    return found


def standardised_rows(signals: Floats, owner: NDArray[np.intp], touched: Rows) -> Floats:
    """Signals `(rows, n)`, each standardised as `standardised` does; overwrites them.

    Args:
        signals: One of one learner in each row.
        owner: In which row each of the touched courses is left out `(k,)`.
        touched: Course rows `(k,)`.
    """
    signals[owner, touched] = 0.0
    others = np.maximum(1, signals.shape[1] - np.bincount(owner, minlength=len(signals)))
    mean = signals.sum(axis=1) / others
    # A product for each row: of several together the last bits would depend on how many.
    squares = np.matmul(signals[:, None], signals[:, :, None])[:, 0, 0] / others
    deviation = np.sqrt(np.maximum(0.0, squares - np.square(mean))) + _SMALLEST_DEVIATION
    signals -= mean.astype(np.float32)[:, None]
    signals *= (1.0 / deviation).astype(np.float32)[:, None]
    np.clip(signals, np.float32(LOWEST), np.float32(HIGHEST), out=signals)
    signals[owner, touched] = 0.0
    return signals


class SignalModel:
    """Computes the signals from a bundle's arrays; immutable.

    Nothing of a learner's depends on who else is in a batch, not even in the last bit.

    Args:
        arrays: `<name>_indptr`, `<name>_indices`, `<name>_weights` for each of `ITEM_ITEM`, and the towers' arrays.
        history_length: Most courses the user tower pools.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], history_length: int) -> None:
        self._arrays, self._length = arrays, history_length
        self.n_courses = len(arrays["course_bias"])
        self._course_vectors = np.ascontiguousarray(arrays["course_vectors"].T)
        lengths = np.stack([np.diff(arrays[f"{name}_indptr"]) for name in ITEM_ITEM])
        width = _width(lengths.max(axis=0, initial=0))
        # A course has as many blocks as its longest row fills, one behind the other, and at least one.
        self._blocks = np.maximum(1, -(-lengths.max(axis=0, initial=0) // width))
        self._first = self._blocks.cumsum() - self._blocks
        self._links = np.zeros((int(self._blocks.sum()), len(ITEM_ITEM), width), np.intp)
        self._link_weights = np.zeros(self._links.shape, np.float32)
        for place, name in enumerate(ITEM_ITEM):
            course = np.arange(self.n_courses).repeat(lengths[place])
            nth = np.arange(len(course)) - arrays[f"{name}_indptr"][course]
            at = self._first[course] + nth // width, place, nth % width
            self._links[at], self._link_weights[at] = arrays[f"{name}_indices"], arrays[f"{name}_weights"]
            self._links[:, place] += place * self.n_courses  # its columns come after those of the matrices before it

    def signals(self, user_row: int, rows: Rows, scores: Doubles, touched: Rows) -> Floats:
        """Of one learner, `(len(SIGNALS), n)`.

        Args:
            user_row: Row of the user embeddings; 0 is the unknown user.
            rows: Courses of positive engagement `(m,)`, highest first.
            scores: Their decayed sums `(m,)`.
            touched: All courses of the learner's history, liked or not.
        """
        liked = Entries(np.zeros(len(rows), np.intp), rows, scores)
        found: Floats = self.signals_of(np.array([user_row]), liked, np.zeros(len(touched), np.intp), touched)[0]
        return found

    def signals_of(
        self,
        users: NDArray[np.intp],
        liked: Entries,
        owner: NDArray[np.intp],
        touched: Rows,
        affinities: Floats | None = None,
    ) -> Floats:
        """Of some learners, `(learners, len(SIGNALS), n)`.

        Args:
            users: Their rows of the user embeddings.
            liked: Their courses of positive engagement, each learner's highest first.
            owner: Whose each of the touched courses is `(k,)`.
            touched: All courses of their histories `(k,)`, liked or not.
            affinities: Of their user vectors `(learners, n)`; None has them computed.
        """
        learners = len(users)
        found = np.empty((learners, len(SIGNALS), self.n_courses), np.float32)
        self._item_item(liked, found[:, :_TOWERS])
        if affinities is None:
            self.affinities(self.user_vectors(users, liked), out=found[:, _TOWERS])
        else:
            found[:, _TOWERS] = affinities
        rows = (owner[:, None] * len(SIGNALS) + np.arange(len(SIGNALS))).ravel()
        standardised_rows(found.reshape(-1, self.n_courses), rows, touched.repeat(len(SIGNALS)))
        return found

    def affinities(self, users: Floats, out: Floats | None = None) -> Floats:
        """The towers' signal before it is standardised, `(learners, n)`, of user vectors `(learners, vector_dim)`."""
        found = np.empty((len(users), self.n_courses), np.float32) if out is None else out
        # A product for each learner, because of the last bits; the course vectors lie so that it is fast.
        np.matmul(users[:, None], self._course_vectors, out=found[:, None])
        found += self._arrays["course_bias"]
        return found

    def user_vector(self, user_row: int, rows: Rows, scores: Doubles) -> Floats:
        """The user tower's vector `(vector_dim,)` of one learner; arguments as of `signals`."""
        liked = Entries(np.zeros(len(rows), np.intp), rows, scores)
        vector: Floats = self.user_vectors(np.array([user_row]), liked)[0]
        return vector

    def user_vectors(self, users: NDArray[np.intp], liked: Entries) -> Floats:
        """The user tower's vectors `(learners, vector_dim)`; arguments as of `signals_of`."""
        a, learners = self._arrays, len(users)
        counts = np.bincount(liked.owner, minlength=learners)
        engagement = np.bincount(liked.owner, liked.scores, minlength=learners).astype(np.float64)
        features = np.concatenate(
            [self._pooled(liked, counts), strength(counts.astype(np.float64), engagement), a["user_embeddings"][users]],
            axis=1,
        )
        # Products of one row each: of several together the last bits would depend on how many.
        hidden = np.maximum(np.matmul(features[:, None], a["hidden_kernel"]) + a["hidden_bias"], 0.0)
        vectors: Floats = (np.matmul(hidden, a["output_kernel"]) + a["output_bias"])[:, 0]
        return vectors

    def _pooled(self, liked: Entries, counts: NDArray[np.intp]) -> Floats:
        """The pools of each learner's best courses, `(learners, POOLS * d)`."""
        vectors, starts = self._arrays["history_vectors"], counts.cumsum() - counts
        ranks = np.arange(len(liked.rows)) - starts[liked.owner]
        kept = ranks < self._length
        owner, rows = liked.owner[kept], liked.rows[kept]
        weights = pool_weights(liked.scores[kept] / liked.scores[starts[owner]], ranks[kept])
        totals = [np.bincount(owner, column, minlength=len(counts)) for column in weights.T]
        weights /= np.stack(totals, axis=1)[owner].astype(np.float32)
        bounds = np.minimum(counts, self._length).cumsum().tolist()
        pooled = np.zeros((len(counts), POOLS, vectors.shape[1]), np.float32)
        for learner, (start, end) in enumerate(pairwise([0, *bounds])):
            if start < end:
                np.matmul(weights[start:end].T, vectors[rows[start:end]], out=pooled[learner])
        return pooled.reshape(len(counts), -1)

    def _item_item(self, liked: Entries, signals: Floats) -> None:
        """Fills in the item-item signals, `(learners, len(ITEM_ITEM), n)`, of one learner after the other."""
        counts = self._blocks[liked.rows]
        nth = np.arange(counts.sum()) - (counts.cumsum() - counts).repeat(counts)
        blocks = self._first[liked.rows].repeat(counts) + nth
        roots = np.sqrt(liked.scores).astype(np.float32).repeat(counts)
        ends = np.bincount(liked.owner.repeat(counts), minlength=len(signals)).cumsum()
        most = max(1, LINKS_AT_A_TIME // self._links[0].size)
        signals.fill(0.0)
        for learner, (start, end) in enumerate(pairwise([0, *ends.tolist()])):
            summed = signals[learner].reshape(-1)  # a view
            for first in range(start, end, most):
                some = slice(first, min(end, first + most))
                weights = self._link_weights[blocks[some]]
                weights *= roots[some, None, None]
                np.add.at(summed, self._links[blocks[some]].ravel(), weights.ravel())


def _width(lengths: NDArray[np.intp]) -> int:
    """The width of blocks that hold rows of these lengths `(n,)` in the least memory; rows are seldom of one length."""
    if not len(lengths):
        return 1
    widths = {max(1, int(np.quantile(lengths, share, method="higher"))) for share in (0.25, 0.5, 0.75, 0.9, 1.0)}
    return min(sorted(widths), key=lambda width: int(np.maximum(1, -(-lengths // width)).sum()) * width)


def positive(rows: Rows, scores: Doubles) -> tuple[Rows, Doubles]:
    """The courses of positive engagement, highest first, equal ones by row."""
    liked = positive_entries(Entries(np.zeros(len(rows), np.intp), rows, scores))
    return liked.rows, liked.scores


def positive_entries(entries: Entries) -> Entries:
    """The courses of positive engagement, each learner's highest first, equal ones by row."""
    some = entries.scores > 0
    owner, rows, scores = entries.owner[some], entries.rows[some], entries.scores[some]
    order = np.lexsort((rows, -scores, owner))
    return Entries(owner[order], rows[order], scores[order])


def log_context(courses: Any, engagement: Any) -> Floats:
    """What the mixer's network sees: log1p of courses and engagement `(..., 2)`, of numbers or arrays of one shape."""
    context: Floats = np.log1p(np.stack([courses, engagement], axis=-1)).astype(np.float32)
    return context
