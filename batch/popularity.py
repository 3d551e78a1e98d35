"""Popularity that fades: how much each course was engaged with lately, at any time of the training window."""

from __future__ import annotations

import numpy as np

from batch.encoding import EncodedEvents
from recsys.engagement import MS_PER_DAY
from recsys.model.course_features import log_share
from recsys.model.inputs import Doubles, Floats


def decayed_popularity(encoded: EncodedEvents, at_ms: int, half_life_days: float) -> Doubles:
    """Likes that records hold of each course `(n_courses,)`, each counting 2^(−age/half-life) at `at_ms`; inf: 1."""
    liked = encoded.liked()
    age_days = (at_ms - encoded.time[liked]) / MS_PER_DAY
    faded = np.exp2(-age_days / half_life_days)
    return np.bincount(encoded.course[liked], faded, minlength=len(encoded.courses)).astype(np.float64)


def log_popularity(popularity: Doubles) -> Floats:
    """Log of popularity relative to its mean, smoothed; `(..., n_courses)`."""
    return np.asarray(log_share(popularity), np.float32)
