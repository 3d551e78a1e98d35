"""Item-item matrices: what having liked one course says for every other.

All are applied alike, `v @ M` with `v` a learner's strengths, so that one scorer serves them all. Two come from the
same inverse of the courses' Gram matrix: EASE (Steck: "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019)
and a ridge regression onto recently decayed likes.

Only the `MAX_DENSE` most liked courses are in that inverse, so memory does not grow with the square of the catalogue.
Pairs with any other course have the weight of a ridge regression of the one course on the other alone, from sparse
counts less what chance gives; rows are made and pruned some at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from recsys.engagement import MS_PER_DAY
from recsys.model.inputs import Floats, Rows
from recsys.model.pruning import CELLS, dense_strongest, strongest

MAX_DENSE = 4096
"""Courses in the dense Gram matrix: 64 MiB in single precision, and an inverse in some seconds."""

FUTURE_DAYS = 30.0
_BLOCK = 512
"""Rows of a symmetric matrix at a time."""

_FEW_LIKES = 14
"""A product by likes takes 2 operations for each, one by a dense matrix some 7 times as fast one for each course."""

_MOST_LEARNERS = 4
"""Learners for each course up to which what a product by likes holds of them is small beside the inverse."""


class Likes(NamedTuple):
    """Distinct liked pairs before an instant.

    Attributes:
        binary: 1 for each pair, `(u, n)`.
        recent: 2^(−age of its last event / `FUTURE_DAYS`), `(u, n)`.
    """

    binary: sparse.csr_array
    recent: sparse.csr_array


def likes(user: Rows, course: Rows, time: NDArray[np.int64], at_ms: int, shape: tuple[int, int]) -> Likes:
    """The pairs of liking events in time order, `(e,)` each, all before `at_ms`."""
    recent = faded_likes(user, course, time, at_ms, shape, FUTURE_DAYS)
    binary = recent.copy()
    binary.data = np.ones(len(recent.data), np.float32)
    return Likes(binary, recent)


def faded_likes(
    user: Rows, course: Rows, time: NDArray[np.int64], at_ms: int, shape: tuple[int, int], half_life_days: float
) -> sparse.csr_array:
    """2^(−age/half-life) of the newest of each pair's events, `(u, n)`; arguments as of `likes`."""
    pair = user.astype(np.int64) * shape[1] + course
    # Events are in time order, so the last of a pair is its newest.
    pairs, last = np.unique(pair[::-1], return_index=True)
    age_days = (at_ms - time[::-1][last]) / MS_PER_DAY
    values = np.exp2(-age_days / half_life_days).astype(np.float32)
    return sparse.csr_array((values, np.divmod(pairs, shape[1])), shape=shape)


class Gram:
    """The Gram matrix `XᵀX` of the most liked courses; computed once, inverted for each penalty.

    Args:
        likes: Of the training side, at least one.
        max_dense: Most courses in it.
    """

    def __init__(self, likes: Likes, max_dense: int = MAX_DENSE) -> None:
        self.likes = likes
        self.counts = np.bincount(likes.binary.indices, minlength=likes.binary.shape[1])
        most = min(max_dense, int((self.counts > 0).sum()))
        self.kept: NDArray[np.integer[Any]] = np.sort(np.argsort(-self.counts, kind="stable")[:most])
        self._gram: Floats | None = _gram(likes.binary[:, self.kept])

    @cached_property
    def together(self) -> Floats:
        """`XᵀY` of the courses in it, `Y` the recently decayed likes."""
        return _product(self.likes.binary[:, self.kept], self.likes.recent[:, self.kept])

    @cached_property
    def few_likes(self) -> Likes | None:
        """The likes of the courses in it, where `(P · Xᵀ) · Y` costs less than `P · XᵀY`; else None."""
        k = len(self.kept)
        if self.likes.binary.nnz * _FEW_LIKES > k * k or self.likes.binary.shape[0] > _MOST_LEARNERS * k:
            return None
        return Likes(self.likes.binary[:, self.kept], sparse.csr_array(self.likes.recent[:, self.kept]))

    def inverse(self, l2: float, *, last: bool = False) -> Inverse:
        """`(XᵀX + l2·I)⁻¹`.

        Args:
            l2: The penalty.
            last: Whether no other inverse is made: the memory of the Gram matrix becomes that of the inverse.

        Raises:
            ValueError: After the last one.
        """
        if self._gram is None:
            raise ValueError("the last inverse of this Gram matrix was made, in its memory")
        # Turned it is itself, as it is symmetric, and in the order that LAPACK works in.
        gram = self._gram.T if last else np.array(self._gram.T, order="F")
        if last:
            self._gram = None
        gram[np.diag_indices_from(gram)] += np.float32(l2)
        return Inverse(_symmetric_inverse(gram), self, l2)


class Inverse:
    """The regularised inverse `P` of the Gram matrix, and what is made from it; see `Gram.inverse`."""

    def __init__(self, inverse: Floats, gram: Gram, l2: float) -> None:
        self._inverse, self._gram, self._l2 = inverse, gram, l2
        self._n = gram.likes.binary.shape[1]
        self._place = np.full(self._n, -1)
        self._place[gram.kept] = np.arange(len(gram.kept))

    def ease(self) -> Floats:
        """EASE weights `(n, n)`: `−P[i, j] / P[j, j]`, zero on the diagonal."""
        whole: Floats = self.pruned_ease(self._n).toarray()
        return whole

    def future(self) -> Floats:
        """Ridge regression of recently decayed likes on likes, `P · XᵀY`, `(n, n)`."""
        whole: Floats = self.pruned_future(self._n).toarray()
        return whole

    def pruned_ease(self, per_row: int) -> sparse.csr_array:
        """The `per_row` strongest weights of each row of `ease`, made without the whole."""
        return self._pruned(self._dense_ease, self._gram.likes.binary, per_row, with_itself=False)

    def pruned_future(self, per_row: int) -> sparse.csr_array:
        """The `per_row` strongest weights of each row of `future`, made without the whole."""
        return self._pruned(self._dense_future, self._gram.likes.recent, per_row, with_itself=True)

    def scores(self, strengths: Floats) -> tuple[Floats, Floats]:
        """`strengths @ ease()` and `strengths @ future()`, `(u, n)` each; 0 for courses not in the inverse."""
        part = strengths[:, self._gram.kept]
        through = part @ self._inverse
        diagonal = np.diag(self._inverse)
        found = []
        for scores in (part - through / diagonal, through @ self._gram.together):
            spread = np.zeros(strengths.shape, np.float32)
            spread[:, self._gram.kept] = scores
            found.append(spread)
        return found[0], found[1]

    def _dense_ease(self, places: Rows) -> Floats:
        """Rows `(r, k)` of EASE among the courses in the inverse."""
        weights: Floats = self._inverse[places] / -np.diag(self._inverse)
        weights[np.arange(len(places)), places] = 0.0
        return weights

    def _dense_future(self, places: Rows) -> Floats:
        """Rows `(r, k)` of the future ridge among the courses in the inverse."""
        rows: Floats = self._inverse[places]
        if self._gram.few_likes is None:
            return rows @ self._gram.together
        likes, recent = self._gram.few_likes
        turned: Floats = recent.T @ (likes @ np.ascontiguousarray(rows.T))
        return np.ascontiguousarray(turned.T)  # pruned by rows

    def _pruned(
        self, dense: Callable[[Rows], Floats], targets: sparse.csr_array, per_row: int, *, with_itself: bool
    ) -> sparse.csr_array:
        """Weights `(n, n)`: those of the inverse where both courses are in it, else of the pair alone.

        Rows of the inverse are pruned before the pairs alone, which are sparse, are added: beyond the courses in the
        inverse, time grows with the pairs liked together, and not with the square of the catalogue.
        """
        kept, liked_by = self._gram.kept, self._gram.likes.binary.T.tocsr()
        beyond = len(kept) < int((self._gram.counts > 0).sum())

        def rows(some: Rows) -> sparse.csr_array:
            mine = np.flatnonzero(self._place[some] >= 0)
            strong = dense_strongest(dense(self._place[some[mine]]), per_row)
            counts = np.zeros(len(some), np.int64)
            counts[mine] = np.diff(strong.indptr)
            indptr = np.concatenate([[0], np.cumsum(counts)])
            found = sparse.csr_array((strong.data, kept[strong.indices], indptr), shape=(len(some), self._n))
            return found + self._alone(some, liked_by, targets, with_itself=with_itself) if beyond else found

        return strongest(rows, self._n, per_row)

    def _alone(
        self, rows: Rows, liked_by: sparse.csr_array, targets: sparse.csr_array, *, with_itself: bool
    ) -> sparse.csr_array:
        """Rows `(r, n)` of the weights of pairs that are not both in the inverse."""
        pairs = (liked_by[rows] @ targets).tocoo()
        first, second, together = rows[pairs.row], pairs.col, pairs.data.astype(np.float32)
        likes = self._gram.counts[first].astype(np.float32)
        # What popularity alone would give is no news; in the inverse the other courses take it away.
        by_chance = np.asarray(targets.sum(axis=0), np.float32) / targets.shape[0]
        weights = np.maximum(together - likes * by_chance[second], 0.0) / (likes + np.float32(self._l2))
        there = (weights > 0) & ((self._place[first] < 0) | (self._place[second] < 0))
        if not with_itself:
            there &= first != second
        return sparse.csr_array((weights[there], (pairs.row[there], second[there])), shape=pairs.shape)


def _product(left: sparse.csr_array, right: sparse.csr_array) -> Floats:
    """`leftᵀ @ right`, dense; made some rows at a time, as all of it sparse takes twice the memory."""
    turned = left.T.tocsr()
    product = np.empty((turned.shape[0], right.shape[1]), np.float32)
    step = max(1, CELLS // max(1, right.shape[1]))
    for start in range(0, len(product), step):
        product[start : start + step] = (turned[start : start + step] @ right).toarray()
    return product


def _gram(likes: sparse.csr_array) -> Floats:
    """`XᵀX`, dense; what is left of the diagonal is copied from what is right of it."""
    turned, by_course = likes.T.tocsr(), likes.tocsc()
    gram = np.empty((likes.shape[1], likes.shape[1]), np.float32)
    for start in range(0, len(gram), _BLOCK):
        stop = start + _BLOCK
        gram[start:stop, start:] = (turned[start:stop] @ by_course[:, start:].tocsr()).toarray()
        gram[stop:, start:stop] = gram[start:stop, stop:].T
    return gram


def _symmetric_inverse(gram: Floats) -> Floats:
    """Inverse of a positive definite matrix, in column order, by its Cholesky factor, in place."""
    if not len(gram):
        return gram
    factor, failed = linalg.lapack.spotrf(gram, lower=1, overwrite_a=1)
    inverse, failed_too = linalg.lapack.spotri(factor, lower=1, overwrite_c=1)
    if failed or failed_too:
        raise FloatingPointError("the Gram matrix is not positive definite; raise the ridge penalty")
    for start in range(0, len(inverse), _BLOCK):  # the factor is the lower half; block by block, no second matrix
        stop = start + _BLOCK
        block = np.tril(inverse[start:stop, start:stop])
        inverse[start:stop, start:stop] = block + np.tril(block, -1).T
        inverse[start:stop, stop:] = inverse[stop:, start:stop].T
    mirrored: Floats = inverse.T  # equal, and by rows
    return mirrored
