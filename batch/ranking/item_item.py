"""Item-item matrices: what having liked one course says for every other.

All are applied alike, `v @ M` with `v` a learner's strengths, so that one scorer serves them all. Two come from the
same inverse of the courses' Gram matrix: EASE (Steck: "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019)
and a ridge regression onto recently decayed likes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from batch.encoding import Times
from recsys.engagement import MS_PER_DAY
from recsys.model.inputs import Floats, Rows

MAX_COURSES = 10_000
"""Courses in the dense Gram matrix: 400 MB in single precision. The least liked beyond it have text alone."""

FUTURE_DAYS = 30.0
_ROWS = 512


class Likes(NamedTuple):
    """Distinct liked pairs before an instant.

    Attributes:
        binary: 1 for each pair, `(u, n)`.
        recent: 2^(−age of its last event / `FUTURE_DAYS`), `(u, n)`.
    """

    binary: sparse.csr_array
    recent: sparse.csr_array


def likes(user: Rows, course: Rows, time: Times, at_ms: int, shape: tuple[int, int]) -> Likes:
    """The pairs of liking events in time order, `(e,)` each, all before `at_ms`."""
    pair = user.astype(np.int64) * shape[1] + course
    pairs, last = np.unique(pair[::-1], return_index=True)
    age_days = (at_ms - time[::-1][last]) / MS_PER_DAY
    cells = np.divmod(pairs, shape[1])
    recent = np.exp2(-age_days / FUTURE_DAYS).astype(np.float32)
    return Likes(
        sparse.csr_array((np.ones(len(pairs), np.float32), cells), shape=shape),
        sparse.csr_array((recent, cells), shape=shape),
    )


class Gram:
    """The Gram matrix `XᵀX` of the most liked courses; computed once, inverted for each penalty.

    Args:
        likes: Of the training side, at least one.
    """

    def __init__(self, likes: Likes) -> None:
        self._n = likes.binary.shape[1]
        counts = np.bincount(likes.binary.indices, minlength=self._n)
        self._kept: NDArray[np.integer[Any]] = np.sort(
            np.argsort(-counts, kind="stable")[: min(MAX_COURSES, int((counts > 0).sum()))]
        )
        part = likes.binary[:, self._kept]
        self._gram: Floats = (part.T @ part).toarray().astype(np.float32)
        self._together: Floats = (part.T @ likes.recent[:, self._kept]).toarray().astype(np.float32)

    def inverse(self, l2: float) -> Inverse:
        """`(XᵀX + l2·I)⁻¹`."""
        gram = np.array(self._gram, order="F")
        gram[np.diag_indices_from(gram)] += np.float32(l2)
        return Inverse(_symmetric_inverse(gram), self._together, self._kept, self._n)


class Inverse:
    """The regularised inverse `P` of the Gram matrix, and what is made from it; see `Gram.inverse`."""

    def __init__(self, inverse: Floats, together: Floats, kept: NDArray[np.integer[Any]], n_courses: int) -> None:
        self._inverse, self._together, self._kept, self._n = inverse, together, kept, n_courses

    def ease(self) -> Floats:
        """EASE weights `(n, n)`: `−P[i, j] / P[j, j]`, zero on the diagonal."""
        return self._spread(self._ease())

    def future(self) -> Floats:
        """Ridge regression of recently decayed likes on likes, `P · XᵀY`, `(n, n)`."""
        return self._spread(self._inverse @ self._together)

    def scores(self, strengths: Floats) -> tuple[Floats, Floats]:
        """`strengths @ ease()` and `strengths @ future()`, `(u, n)` each, without the second matrix."""
        part = strengths[:, self._kept]
        found = []
        for scores in (part @ self._ease(), (part @ self._inverse) @ self._together):
            spread = np.zeros(strengths.shape, np.float32)
            spread[:, self._kept] = scores
            found.append(spread)
        return found[0], found[1]

    def _ease(self) -> Floats:
        weights: Floats = self._inverse / -np.diag(self._inverse)
        np.fill_diagonal(weights, 0.0)
        return weights

    def _spread(self, weights: Floats) -> Floats:
        if len(self._kept) == self._n:
            return weights
        spread = np.zeros((self._n, self._n), np.float32)
        spread[np.ix_(self._kept, self._kept)] = weights
        return spread


def text_similarity(tfidf: sparse.csr_array) -> Floats:
    """Cosine of each pair of courses' TF-IDF `(n, v)`, `(n, n)`.

    A learner's text score is the cosine of the course with the profile `v @ tfidf`; the profile's length is the same
    for all courses, so `v @ text_similarity` orders and standardises alike.
    """
    cosine: Floats = (tfidf @ tfidf.T).toarray().astype(np.float32)
    return cosine


def strongest(weights: Floats, per_row: int) -> sparse.csr_array:
    """Keeps the `per_row` weights of largest size in each row of `(n, n)`, all that tie with the last."""
    n = weights.shape[1]
    if per_row >= n:
        return sparse.csr_array(weights)
    parts = []
    for start in range(0, len(weights), _ROWS):  # a part at a time: sizes and places of all would triple the memory
        part = weights[start : start + _ROWS]
        size = np.abs(part)
        floor = np.partition(size, n - per_row, axis=1)[:, n - per_row, None]
        parts.append(sparse.csr_array(np.where(size >= floor, part, np.float32(0))))
    return sparse.csr_array(sparse.vstack(parts, format="csr"))


def _symmetric_inverse(gram: Floats) -> Floats:
    """Inverse of a positive definite matrix by its Cholesky factor, in place."""
    if not len(gram):
        return gram
    factor, failed = linalg.lapack.spotrf(gram, lower=1, overwrite_a=1)
    inverse, failed_too = linalg.lapack.spotri(factor, lower=1, overwrite_c=1)
    if failed or failed_too:
        raise FloatingPointError("the Gram matrix is not positive definite; raise the ridge penalty")
    lower = np.tril(inverse)
    full: Floats = np.ascontiguousarray(lower + np.tril(lower, -1).T)
    return full
