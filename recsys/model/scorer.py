"""The trained hybrid model as arrays: what the stream worker and the API rank with. NumPy only, no TensorFlow.

A `Scorer` is immutable and may be shared between threads. It reproduces `recsys.model.towers` (a test compares them).
Affinity = user vector · course vector + course bias + item-item part. The bias holds course bias and popularity:
decayed popularities shrink alike for all courses, so their order at the end of training is their order ever after.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.catalog import Course
from recsys.errors import BundleError
from recsys.model.bundle import Bundle, load_bundle
from recsys.model.inputs import STRENGTH_DIM, Doubles, Floats, Pool, Rows, pool_engagement

_ARRAYS = (
    "course_vectors", "course_bias", "history_vectors", "user_embeddings", "hidden_kernel", "hidden_bias",
    "output_kernel", "output_bias", "wide_indptr", "wide_indices", "wide_weights",
)  # fmt: skip


class Scorer:
    """Ranks the catalogue for a learner from engagement alone.

    Args:
        bundle: A verified bundle.

    Attributes:
        version: The bundle's version.
        course_ids: The catalogue; position `i` is course row `i` and bit `i` of an `allowed` mask.
        courses: The same by id, with titles and attributes.

    Raises:
        BundleError: When arrays are missing or their shapes do not fit each other.
    """

    def __init__(self, bundle: Bundle) -> None:
        _check_shapes(bundle)
        self.version: str = bundle.manifest.version
        self.course_ids: Sequence[str] = tuple(course.course_id for course in bundle.courses)
        self.courses: Mapping[str, Course] = {course.course_id: course for course in bundle.courses}
        self._arrays = bundle.arrays
        self._settings = bundle.manifest.settings
        self._half_life_days = bundle.manifest.engagement.half_life_days
        self._row_of = {course_id: row for row, course_id in enumerate(self.course_ids)}
        self._user_row = {user_id: row for row, user_id in enumerate(bundle.users, start=1)}
        self._offered = np.array([not course.retired for course in bundle.courses], dtype=bool)

    @classmethod
    def load(cls, path: Path) -> Scorer:
        """Loads and verifies a bundle's folder.

        Raises:
            BundleError: When the bundle does not verify; nothing is loaded then.
        """
        return cls(load_bundle(path))

    def rank(
        self,
        user_id: str,
        engagement: Mapping[str, float],
        *,
        at_ms: int,
        n: int,
        exclude: Collection[str] = (),
        allowed: NDArray[np.bool_] | None = None,
    ) -> tuple[list[str], list[float]]:
        """The top-N of one learner.

        Args:
            user_id: Any string; one not trained on is served as the unknown user.
            engagement: Course id → stored forward-decayed sum; unknown courses are ignored.
            at_ms: The time asked for, ms since 1970 UTC.
            n: Most courses returned.
            exclude: Courses never returned.
            allowed: Mask `(n_courses,)` over `course_ids`; None allows all.

        Returns:
            Course ids, best first, and their scores, non-increasing; equal scores in catalogue order.
        """
        scores = self.score(user_id, engagement, at_ms=at_ms)
        keep = self._offered.copy() if allowed is None else self._offered & allowed
        keep[[self._row_of[course_id] for course_id in exclude if course_id in self._row_of]] = False
        best = top_rows(np.where(keep, scores, -np.inf), n)
        return [self.course_ids[row] for row in best], [float(scores[row]) for row in best]

    def score(self, user_id: str, engagement: Mapping[str, float], *, at_ms: int) -> Floats:
        """The affinity of one learner to every course, `(n_courses,)`, retired ones too."""
        known = [
            (self._row_of[course_id], value) for course_id, value in engagement.items() if course_id in self._row_of
        ]
        rows = np.fromiter((row for row, _ in known), np.int32, len(known))
        stored = np.fromiter((value for _, value in known), np.float64, len(known))
        return self.score_rows(self._user_row.get(user_id, 0), rows, stored, at_ms=at_ms)

    def score_rows(self, user_row: int, rows: Rows, stored: Doubles, *, at_ms: int) -> Floats:
        """As `score`, from rows: `user_row` 0 is the unknown user, `rows` and `stored` `(m,)` the engagement."""
        settings = self._settings
        pool = pool_engagement(
            rows,
            stored,
            at_ms=at_ms,
            half_life_days=self._half_life_days,
            power=settings.pool_power,
            length=settings.history_length,
        )
        scores: Floats = (
            self._arrays["course_vectors"] @ self._user_vector(user_row, pool) + self._arrays["course_bias"]
        )
        if pool.rows.size and self._arrays["wide_weights"].size:
            scores += self._wide(pool)
        return scores

    def _user_vector(self, user_row: int, pool: Pool) -> Floats:
        a = self._arrays
        pooled = pool.weights @ a["history_vectors"][pool.rows]
        features = np.concatenate([a["user_embeddings"][user_row], pooled, pool.strength])
        hidden = np.maximum(features @ a["hidden_kernel"] + a["hidden_bias"], 0.0)
        vector: Floats = hidden @ a["output_kernel"] + a["output_bias"] + pooled
        return vector

    def _wide(self, pool: Pool) -> Floats:
        """Sum of the item-item weights of the pooled courses, each relative to the most engaged one."""
        starts = self._arrays["wide_indptr"][pool.rows]
        lengths = self._arrays["wide_indptr"][pool.rows + 1] - starts
        positions = np.repeat(starts - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths) + np.arange(
            lengths.sum()
        )
        factors = np.repeat(pool.weights / pool.weights[0], lengths)
        values = self._arrays["wide_weights"][positions] * factors
        targets = self._arrays["wide_indices"][positions]
        return np.bincount(targets, values, minlength=len(self.course_ids)).astype(np.float32)


def top_rows(scores: Floats, n: int) -> list[int]:
    """The rows of the `n` highest finite scores, best first, equal scores by row."""
    n = min(n, int(np.count_nonzero(np.isfinite(scores))))
    if n <= 0:
        return []
    scores = np.where(np.isfinite(scores), scores, -np.inf)
    floor = np.partition(scores, len(scores) - n)[len(scores) - n]
    # Everything tied with the last place takes part, so that ties fall by row and not by what partition left.
    candidates = np.flatnonzero(scores >= floor)
    order = np.lexsort((candidates, -scores[candidates]))[:n]
    rows: list[int] = candidates[order].tolist()
    return rows


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
