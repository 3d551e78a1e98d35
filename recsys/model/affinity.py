"""The linear affinity of learners to courses, computed from a bundle's arrays for a batch of learners. NumPy only.

It serves bundles of baselines (`batch.fallback`), and those of format 1, which may be in use when this release is
started or be rolled back to. The hybrid model of today is `recsys.model.mixed_affinity`'s.

Affinity = user vector · course vector + course bias + item-item part. The bias holds course bias and popularity:
decayed popularities shrink alike for all courses, so their order at the end of training is their order ever after.

Another way to score learners fits in here with the same four methods: what a batch needs to know (`batch`), the scores
of all courses (`scores`), those of single courses as they are ordered by (`score_of`), and by how much the two can
differ (`slack`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.errors import BundleError
from recsys.model.bundle import Bundle
from recsys.model.inputs import STRENGTH_DIM, Doubles, Floats, Pools, Rows, pool_many
from recsys.model.top_k import Indices

_ARRAYS = (
    "course_vectors", "course_bias", "history_vectors", "user_embeddings", "hidden_kernel", "hidden_bias",
    "output_kernel", "output_bias", "wide_indptr", "wide_indices", "wide_weights",
)  # fmt: skip


class Batch(NamedTuple):
    """Some learners as the scores see them.

    Attributes:
        pools: Their engagement.
        vectors: User vectors `(learners, vector_dim)`.
        item_item: The item-item part `(learners, n_courses)`; None in a bundle without it.
    """

    pools: Pools
    vectors: Floats
    item_item: Floats | None


class Affinity:
    """Scores learners; immutable.

    Args:
        bundle: A verified bundle.

    Raises:
        BundleError: When arrays are missing or their shapes do not fit each other.
    """

    def __init__(self, bundle: Bundle) -> None:
        _check_shapes(bundle)
        self._arrays = bundle.arrays
        self._settings = bundle.manifest.settings
        self._half_life_days = bundle.manifest.engagement.half_life_days
        self._n_courses = len(bundle.courses)
        self._links = self._arrays["wide_indices"].astype(np.intp)
        self._longest = float(np.sqrt(np.square(self._arrays["course_vectors"]).sum(axis=1)).max(initial=0.0))
        self._largest_bias = float(np.abs(self._arrays["course_bias"]).max(initial=0.0))
        self._largest_link = float(np.abs(self._arrays["wide_weights"]).max(initial=0.0))

    def batch(self, users: Sequence[int], owner: Indices, rows: Rows, stored: Doubles, *, at_ms: int) -> Batch:
        """What the scores of some learners are computed from.

        Args:
            users: User rows; 0 is the unknown user.
            owner: Which learner an engagement belongs to `(m,)`, a position in `users`.
            rows: Course rows `(m,)`.
            stored: Stored forward-decayed sums `(m,)`.
            at_ms: The time asked for, ms since 1970 UTC.
        """
        settings = self._settings
        pools = pool_many(
            owner,
            rows,
            stored,
            learners=len(users),
            at_ms=at_ms,
            half_life_days=self._half_life_days,
            power=settings.pool_power,
            length=settings.history_length,
        )
        return Batch(pools, self._user_vectors(users, pools), self._item_item(pools))

    def scores(self, batch: Batch) -> Floats:
        """Every learner's affinity to every course, `(learners, n_courses)`."""
        scores: Floats = batch.vectors @ self._arrays["course_vectors"].T
        scores += self._arrays["course_bias"]
        if batch.item_item is not None:
            scores += batch.item_item
        return scores

    def score_of(self, batch: Batch, owner: Indices, rows: Indices) -> Floats:
        """The affinity of single learners `(c,)` to single courses `(c,)`, rounded alike in every batch."""
        scores: Floats = (self._arrays["course_vectors"][rows] * batch.vectors[owner]).sum(axis=1)
        scores += self._arrays["course_bias"][rows]
        if batch.item_item is not None:
            scores += batch.item_item[owner, rows]
        return scores

    def slack(self, batch: Batch) -> Floats:
        """Twice the most by which `scores` and `score_of` can differ, `(learners,)`.

        A sum of m products differs from the true one by at most m·2^-24 times the sum of their sizes, in whatever order
        it was added up (Higham: "Accuracy and Stability of Numerical Algorithms", 2002, section 3.1).
        """
        vectors = batch.vectors
        courses = batch.pools.bounds[1:] - batch.pools.bounds[:-1]
        size = np.sqrt((vectors * vectors).sum(axis=1)) * self._longest + self._largest_bias
        terms = vectors.shape[1] + 4
        slack: Floats = (4 * terms * 2.0**-24 * (size + courses * self._largest_link)).astype(np.float32)
        return slack

    def _user_vectors(self, users: Sequence[int], pools: Pools) -> Floats:
        """User vectors `(learners, vector_dim)`; products learner by learner, so that no batch rounds differently."""
        a = self._arrays
        pooled = np.zeros((len(users), a["history_vectors"].shape[1]), np.float32)
        some = pools.bounds[1:] > pools.bounds[:-1]
        if pools.rows.size:
            weighted = pools.weights[:, None] * a["history_vectors"][pools.rows]
            pooled[some] = np.add.reduceat(weighted, pools.bounds[:-1][some], axis=0)
        features = np.concatenate([a["user_embeddings"][np.asarray(users, np.intp)], pooled, pools.strength], axis=1)
        hidden = np.maximum((features[:, None] @ a["hidden_kernel"])[:, 0] + a["hidden_bias"], 0.0)
        vectors: Floats = (hidden[:, None] @ a["output_kernel"])[:, 0] + a["output_bias"] + pooled
        return vectors

    def _item_item(self, pools: Pools) -> Floats | None:
        """Sum of the item-item weights of the pooled courses, each relative to the most engaged one.

        `(learners, n_courses)`, the pools as a sparse matrix times the item-item matrix; None without weights.
        """
        if not self._arrays["wide_weights"].size:
            return None
        learners, n = len(pools.strength), self._n_courses
        starts = self._arrays["wide_indptr"][pools.rows]
        lengths = self._arrays["wide_indptr"][pools.rows + 1] - starts
        links_before = np.zeros(len(lengths) + 1, np.intp)
        lengths.cumsum(out=links_before[1:])
        positions = (starts - links_before[:-1]).repeat(lengths) + np.arange(links_before[-1])
        values = self._arrays["wide_weights"][positions] * pools.relative.repeat(lengths)
        targets = self._links[positions]
        bounds = links_before[pools.bounds].tolist()
        sums = np.empty((learners, n), np.float32)
        # Learner by learner: the counts of one fit a processor's first cache, those of all would not.
        for learner, (start, end) in enumerate(pairwise(bounds)):
            sums[learner] = np.bincount(targets[start:end], values[start:end], minlength=n)
        return sums


def _check_shapes(bundle: Bundle) -> None:
    a: Mapping[str, NDArray[Any]] = bundle.arrays
    missing = [name for name in _ARRAYS if name not in a]
    if missing:
        raise BundleError(f"expected arrays {', '.join(_ARRAYS)} in {bundle.path}, received none of {missing}")
    settings, n = bundle.manifest.settings, len(bundle.courses)
    d, hidden = settings.vector_dim, settings.hidden
    links = len(a["wide_indices"])
    expected: dict[str, tuple[int, ...]] = {
        "course_vectors": (n, d),
        "course_bias": (n,),
        "history_vectors": (n, d),
        "user_embeddings": (len(bundle.users) + 1, settings.user_dim),
        "hidden_kernel": (settings.user_dim + d + STRENGTH_DIM, hidden),
        "hidden_bias": (hidden,),
        "output_kernel": (hidden, d),
        "output_bias": (d,),
        "wide_indptr": (n + 1,),
        "wide_weights": (links,),
    }
    for name, shape in expected.items():
        if a[name].shape != shape:
            raise BundleError(f"expected {name} of shape {shape} in {bundle.path}, received {a[name].shape}")
    if links and (int(a["wide_indices"].max()) >= n or int(a["wide_indptr"][-1]) != links):
        raise BundleError(f"expected item-item links within {n} courses in {bundle.path}, received others")
