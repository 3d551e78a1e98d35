"""Popularity that fades: how much each course was engaged with lately, at any time of the training window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from batch.encoding import EncodedEvents, Times
from recsys.engagement import MS_PER_DAY
from recsys.model.inputs import Doubles, Floats, Rows

MAX_BUCKETS = 400
_SMOOTHING = 0.05
"""Share of the mean popularity every course is given, so that a new one is rare and not impossible."""


def decayed_popularity(encoded: EncodedEvents, at_ms: int, half_life_days: float) -> Doubles:
    """Interactions per course `(n_courses,)`, each counting 2^(−age/half-life) at `at_ms`; inf: plain counts."""
    liked = encoded.weight > 0
    age_days = (at_ms - encoded.time[liked]) / MS_PER_DAY
    faded = np.exp2(-age_days / half_life_days)
    return np.bincount(encoded.course[liked], faded, minlength=len(encoded.courses)).astype(np.float64)


def log_popularity(popularity: Doubles) -> Floats:
    """The feature the model reads: log of popularity relative to its mean, smoothed; `(..., n_courses)`."""
    mean = popularity.mean(axis=-1, keepdims=True)
    relative = np.divide(popularity, mean, out=np.zeros_like(popularity), where=mean > 0)
    return np.asarray(np.log(relative + _SMOOTHING), np.float32)


@dataclass(frozen=True, slots=True)
class PopularityTimeline:
    """Log popularity of each course before each time bucket.

    Attributes:
        start_ms: Begin of bucket 0.
        step_ms: Length of a bucket.
        table: `(buckets, n_courses)`; row `b` knows only interactions before bucket `b`.
    """

    start_ms: int
    step_ms: int
    table: Floats

    def bucket(self, times: Times) -> Rows:
        """The bucket of each time."""
        return np.clip((times - self.start_ms) // self.step_ms, 0, len(self.table) - 1).astype(np.int32)


def popularity_timeline(encoded: EncodedEvents, half_life_days: float) -> PopularityTimeline:
    """Popularity as it was known in the course of the training window: day by day, or coarser in a long one."""
    start, end = int(encoded.time[0]), int(encoded.time[-1])
    step = max(MS_PER_DAY, -(-(end - start + 1) // MAX_BUCKETS))
    bucket = (encoded.time - start) // step
    counts = np.zeros((int(bucket[-1]) + 1, len(encoded.courses)))
    liked = encoded.weight > 0
    np.add.at(counts, (bucket[liked], encoded.course[liked]), 1.0)
    fade = np.exp2(-step / MS_PER_DAY / half_life_days)
    known = np.zeros_like(counts)
    for b in range(1, len(counts)):
        known[b] = (known[b - 1] + counts[b - 1]) * fade
    return PopularityTimeline(start, step, log_popularity(known))
