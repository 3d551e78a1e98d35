"""What the hybrid model has to beat: each baseline is one class with `score(case)`, fitted on the training side."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits

from batch.encoding import EncodedEvents
from batch.evaluation.cases import Case
from batch.popularity import decayed_popularity
from batch.ranking.likes import liked_matrix, likes_before
from recsys.model.inputs import Doubles, Floats, Rows
from recsys.model.item_item import MAX_DENSE, Gram
from recsys.model.pruning import strongest

FACTORS, PENALTY, ITERATIONS = 64, 0.05, 12
"""Of `Ials`, fixed; its other options are tuned."""

EASE_NEIGHBOURS = 200
"""Weights kept in a row of `Ease` where not all are."""


class Popularity:
    """The same list for everybody: interactions per course, faded with a half-life (infinite: all of history)."""

    def __init__(self, encoded: EncodedEvents, half_life_days: float = np.inf) -> None:
        self._scores = decayed_popularity(encoded, int(encoded.time[-1]), half_life_days).astype(np.float32)

    def score(self, case: Case) -> Floats:
        """See `batch.evaluation.cases.Recommender`."""
        return self._scores


class _LinearInHistory:
    """Scores are a weighted sum, over the courses a learner liked, of rows of an item-item matrix."""

    def __init__(self, liked: sparse.csr_array, weights: sparse.csr_array | Floats) -> None:
        self._liked, self._weights = liked, weights

    def score(self, case: Case) -> Floats:
        """See `batch.evaluation.cases.Recommender`; zeros for a learner training does not know."""
        if case.user_row < 0:
            return np.zeros(self._liked.shape[1], np.float32)
        rows, values = _row(self._liked, case.user_row)
        return np.asarray(values @ self._weights[rows], np.float32).ravel()


class ItemKnn(_LinearInHistory):
    """Cosine similarity of courses by the learners who liked both; the nearest neighbours of each course count.

    Args:
        encoded: The training side.
        neighbours: Kept per course.
        half_life_days: After which a liking counts half in a learner's history.
    """

    def __init__(self, encoded: EncodedEvents, neighbours: int, half_life_days: float) -> None:
        binary = liked_matrix(encoded, np.inf)
        norm = np.sqrt(np.maximum(np.asarray(binary.sum(axis=0)).ravel(), 1.0)).astype(np.float32)

        liked_by = binary.T.tocsr()

        def cosine(rows: Rows) -> sparse.csr_array:
            together = (liked_by[rows] @ binary).tocoo()
            cosines = together.data / norm[rows[together.row]] / norm[together.col]
            cosines[rows[together.row] == together.col] = 0.0
            return sparse.csr_array((cosines, (together.row, together.col)), shape=together.shape)

        nearest = strongest(cosine, len(encoded.courses), neighbours)
        super().__init__(liked_matrix(encoded, half_life_days), nearest.T.tocsr())


class Ease(_LinearInHistory):
    """EASE (see `recsys.model.item_item`) on a history that fades.

    Weights of a large catalogue are pruned, as those of the hybrid are: all of 20,000 courses would take 1.5 GiB.

    Args:
        encoded: The training side.
        l2: Ridge penalty.
        half_life_days: After which a liking counts half in a learner's history; weights are fitted on unfaded likes.
        max_dense: Most courses of a catalogue whose weights are all kept.
    """

    def __init__(self, encoded: EncodedEvents, l2: float, half_life_days: float, *, max_dense: int = MAX_DENSE) -> None:
        inverse = Gram(likes_before(encoded, int(encoded.time[-1]) + 1)).inverse(l2)
        all_kept = len(encoded.courses) <= max_dense
        weights = inverse.ease() if all_kept else inverse.pruned_ease(EASE_NEIGHBOURS)
        super().__init__(liked_matrix(encoded, half_life_days), weights)


class Ials:
    """Implicit alternating least squares (Hu, Koren, Volinsky, ICDM 2008), as the library `implicit` computes it.

    Args:
        encoded: The training side.
        alpha: Weight of a like beside 1, the weight of a pair without any.
        half_life_days: After which a like weighs half.
        seed: Of the initial factors.
    """

    def __init__(self, encoded: EncodedEvents, alpha: float, half_life_days: float, seed: int) -> None:
        from implicit.cpu.als import AlternatingLeastSquares  # noqa: PLC0415 - looks at BLAS threads, slow to import

        with threadpool_limits(1, "blas"):  # the library runs threads of its own
            model = AlternatingLeastSquares(
                factors=FACTORS, regularization=PENALTY, alpha=alpha, iterations=ITERATIONS, random_state=seed
            )
            # The library takes scipy's older matrices only.
            model.fit(sparse.csr_matrix(liked_matrix(encoded, half_life_days)), show_progress=False)
        self._users, self._courses = model.user_factors, model.item_factors

    def score(self, case: Case) -> Floats:
        """See `batch.evaluation.cases.Recommender`; zeros for a learner training does not know."""
        if case.user_row < 0:
            return np.zeros(len(self._courses), np.float32)
        scores: Floats = self._courses @ self._users[case.user_row]
        return scores


class TextProfile(_LinearInHistory):
    """Cosine of a course's TF-IDF with the faded sum of the liked courses' TF-IDF.

    Args:
        encoded: The training side.
        text: TF-IDF rows `(n, v)`.
        half_life_days: After which a liking counts half in the profile.
    """

    def __init__(self, encoded: EncodedEvents, text: sparse.csr_array, half_life_days: float) -> None:
        super().__init__(liked_matrix(encoded, half_life_days), sparse.csr_array((0, 0)))
        self._text = text

    def score(self, case: Case) -> Floats:
        """See `batch.evaluation.cases.Recommender`."""
        if case.user_row < 0:
            return np.zeros(self._text.shape[0], np.float32)
        rows, values = _row(self._liked, case.user_row)
        profile = np.asarray(values @ self._text[rows]).ravel()
        return np.asarray(self._text @ profile, np.float32)


def _row(matrix: sparse.csr_array, row: int) -> tuple[Rows, Doubles]:
    start, end = matrix.indptr[row], matrix.indptr[row + 1]
    return matrix.indices[start:end], matrix.data[start:end]
