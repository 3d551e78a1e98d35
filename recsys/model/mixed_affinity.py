"""The ranker behind the four methods that `recsys.model.scorer` asks of an affinity (see `recsys.model.affinity`).

A learner's scores are the same to the last bit in every batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.course_sums.activity import WIDTH, CourseActivity, activity
from recsys.engagement import LANDMARK_MS, MS_PER_DAY
from recsys.errors import BundleError
from recsys.model.bundle import Bundle
from recsys.model.course_features import NAMES, course_features
from recsys.model.history import POOLS, STRENGTH_DIM
from recsys.model.inputs import Doubles, Floats, Rows
from recsys.model.ranker import Ranker
from recsys.model.ranking_lists import CURVATURE
from recsys.model.signals import ITEM_ITEM, SIGNALS, Entries
from recsys.model.top_k import Indices

ACTIVITY = "activity"
"""The array of a bundle that says what its course features were made of; earlier releases wrote none."""

_HIGHEST_EXPONENT = 60.0
"""Scores are capped at 2^60: a sum of the far future must not become infinite."""


class MixedBatch(NamedTuple):
    """Scores of some learners, `(learners, n_courses)`."""

    values: Floats


class MixedAffinity:
    """Scores learners with signals, course features and mixer; immutable.

    Args:
        bundle: A verified bundle.

    Raises:
        BundleError: When arrays are missing or their shapes do not fit each other.
    """

    def __init__(self, bundle: Bundle) -> None:
        _check_shapes(bundle)
        self._ranker = Ranker(bundle.arrays, bundle.manifest.settings.history_length)
        self._half_life_days = bundle.manifest.engagement.half_life_days
        self._n_courses = len(bundle.courses)
        self._arrays = bundle.arrays

    def with_activity(self, vectors: Doubles, at_ms: int) -> MixedAffinity:
        """The same model with course features as of a time; itself where its bundle does not say what they are.

        Of what the bundle has seen and what the workers keep, the larger counts: each is a part of all there was, and
        neither need hold the other (a log forgets, and a bundle is of yesterday).

        Args:
            vectors: What the workers keep of each course (`recsys.course_sums.activity`), `(n_courses, WIDTH)`.
            at_ms: The time, ms since 1970 UTC.
        """
        if ACTIVITY not in self._arrays:
            return self
        seen, live = activity(self._arrays[ACTIVITY], at_ms), activity(vectors, at_ms)
        features = course_features(
            CourseActivity(
                at_ms,
                np.maximum(seen.popularity, live.popularity),
                np.maximum(seen.first_touches, live.first_touches),
                np.fmin(seen.first_ms, live.first_ms),
                np.fmax(seen.last_ms, live.last_ms),
            )
        )
        other = copy(self)
        other._ranker = self._ranker.with_features(  # noqa: SLF001 - of this class
            ((features - self._arrays["feature_mean"]) / self._arrays["feature_scale"]).astype(np.float32)
        )
        return other

    def batch(self, users: Sequence[int], owner: Indices, rows: Rows, stored: Doubles, *, at_ms: int) -> MixedBatch:
        """Scores some learners; arguments as of `recsys.model.affinity.Affinity.batch`."""
        now = decayed(stored, at_ms=at_ms, half_life_days=self._half_life_days)
        return MixedBatch(self._ranker.scores_of(np.asarray(users, np.intp), Entries(owner, rows, now)))

    def scores(self, batch: MixedBatch) -> Floats:
        """Every learner's score of every course `(learners, n_courses)`; the caller may write into it."""
        return batch.values.copy()

    def score_of(self, batch: MixedBatch, owner: Indices, rows: Indices) -> Floats:
        """The scores of single learners `(c,)` for single courses `(c,)`."""
        found: Floats = batch.values[owner, rows]
        return found

    def slack(self, batch: MixedBatch) -> Floats:
        """Zeros `(learners,)`: `scores` and `score_of` are the same numbers."""
        return np.zeros(len(batch.values), np.float32)


def decayed(stored: Doubles, *, at_ms: int, half_life_days: float) -> Doubles:
    """Stored forward-decayed sums `(m,)` as engagement at a time; 0 for what is not positive and finite."""
    some = np.isfinite(stored) & (stored > 0)
    # Logarithms, because a stored sum spans 2^±1022 and its decay factor the inverse.
    log = np.log2(stored, out=np.full(len(stored), -np.inf), where=some)
    scores: Doubles = np.exp2(
        np.minimum(log + (LANDMARK_MS - at_ms) / (half_life_days * MS_PER_DAY), _HIGHEST_EXPONENT)
    )
    return scores


def _check_shapes(bundle: Bundle) -> None:
    a: Mapping[str, NDArray[Any]] = bundle.arrays
    expected = _shapes(bundle)
    needed = [*expected, *(f"{name}_indices" for name in ITEM_ITEM)]
    missing = [name for name in needed if name not in a]
    if missing:
        raise BundleError(f"expected arrays {', '.join(needed)} in {bundle.path}, received none of {missing}")
    n = len(bundle.courses)
    for name in ITEM_ITEM:
        links = a[f"{name}_indices"]
        expected[f"{name}_weights"] = links.shape
        if len(links) and (int(links.max()) >= n or int(links.min()) < 0):
            raise BundleError(f"expected {name}_indices within {n} courses in {bundle.path}, received others")
    for name, shape in expected.items():
        if a[name].shape != shape:
            raise BundleError(f"expected {name} of shape {shape} in {bundle.path}, received {a[name].shape}")
    for name in ITEM_ITEM:
        bounds = a[f"{name}_indptr"]
        if int(bounds[0]) != 0 or int(bounds[-1]) != len(a[f"{name}_indices"]) or (np.diff(bounds) < 0).any():
            raise BundleError(f"expected {name}_indptr to bound its links in {bundle.path}, received other bounds")


def _shapes(bundle: Bundle) -> dict[str, tuple[int, ...]]:
    settings, n, width = bundle.manifest.settings, len(bundle.courses), len(SIGNALS) + len(NAMES)
    d, hidden = settings.vector_dim, settings.hidden
    kernel = bundle.arrays.get("mixer_hidden_kernel")
    members, units = (1, 1) if kernel is None or kernel.ndim != 3 else (kernel.shape[0], kernel.shape[2])  # noqa: PLR2004 - members, context, units
    live = {ACTIVITY: (n, WIDTH), "feature_mean": (len(NAMES),), "feature_scale": (len(NAMES),)}
    return {
        **(live if ACTIVITY in bundle.arrays else {}),
        **({CURVATURE: (width, width)} if CURVATURE in bundle.arrays else {}),
        "course_vectors": (n, d),
        "course_bias": (n,),
        "history_vectors": (n, d),
        "user_embeddings": (len(bundle.users) + 1, settings.user_dim),
        "hidden_kernel": (POOLS * d + STRENGTH_DIM + settings.user_dim, hidden),
        "hidden_bias": (hidden,),
        "output_kernel": (hidden, d),
        "output_bias": (d,),
        "features": (n, len(NAMES)),
        "newcomer_weights": (len(NAMES),),
        "context_mean": (STRENGTH_DIM,),
        "context_scale": (STRENGTH_DIM,),
        "mixer_weights": (members, width),
        "mixer_hidden_kernel": (members, STRENGTH_DIM, units),
        "mixer_hidden_bias": (members, units),
        "mixer_output_kernel": (members, units, width),
        "mixer_output_bias": (members, width),
        **{f"{name}_indptr": (n + 1,) for name in ITEM_ITEM},
        **{f"{name}_weights": () for name in ITEM_ITEM},
    }
