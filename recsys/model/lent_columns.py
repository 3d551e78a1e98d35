"""Similarity of texts, and what it lends to courses that nobody liked yet."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recsys.model.placed_courses import LENDERS
from recsys.model.pruning import largest_of_each, strongest


def text_similarity(texts: sparse.csr_array, per_row: int) -> sparse.csr_array:
    """The strongest cosines of each course's text `(n, v)`, rows of unit length, with the others', `(n, n)`.

    A learner's text score is the cosine of the course with the profile `v @ texts`; the profile's length is the same
    for all courses, so `v @ text_similarity` orders and standardises alike.
    """
    turned = texts.T.tocsr()
    return strongest(lambda rows: (texts[rows] @ turned).astype(np.float32), texts.shape[0], per_row)


def with_lent_columns(
    matrix: sparse.csr_array, similarity: sparse.csr_array, unliked: NDArray[np.bool_], per_row: int
) -> sparse.csr_array:
    """An item-item matrix in which courses nobody liked yet have the weights of courses with a similar text.

    The column of such a course is the mean of the columns of the `LENDERS` liked courses of most similar text, each
    times its similarity and weighted by it: little is lent to a course like no other.

    Args:
        matrix: Weights `(n, n)`, none in the columns of `unliked`.
        similarity: Cosines of texts `(n, n)`, symmetric but for pruning.
        unliked: Mask `(n,)`.
        per_row: How many weights are kept in a row, and all that tie with the last.
    """
    found = similarity[np.flatnonzero(unliked)].tocoo()
    new, old, cosine = np.flatnonzero(unliked)[found.row], found.col, found.data
    lends = ~unliked[old] & (cosine > 0)
    nearest = largest_of_each(new[lends], cosine[lends], LENDERS)
    new, old, cosine = new[lends][nearest], old[lends][nearest], cosine[lends][nearest]
    total = np.bincount(new, cosine, minlength=matrix.shape[0])
    shares = (cosine**2 / total[new]).astype(np.float32)
    both = sparse.csr_array(matrix + matrix @ sparse.csr_array((shares, (old, new)), shape=matrix.shape))
    return strongest(lambda rows: both[rows], len(unliked), per_row)
