"""Course features of the ranker: popularity over many half-lives, how new a course is, when it was last touched.

NumPy only: the batch layer computes them from history and the workers from the same sums, kept live
(`recsys.course_sums.activity`).
"""

from __future__ import annotations

import numpy as np

from recsys.course_sums.activity import FIRST_TOUCH_DAYS, POPULARITY_DAYS, CourseActivity
from recsys.engagement import MS_PER_DAY
from recsys.model.inputs import Doubles, Floats

AGE_DAYS = (30.0, 120.0)
LAST_TOUCH_DAYS = (7.0, 30.0)
NAMES = (
    *(f"popularity_{days:g}d" for days in POPULARITY_DAYS),
    *(f"first_touches_{days:g}d" for days in FIRST_TOUCH_DAYS),
    *(f"age_{days:g}d" for days in AGE_DAYS),
    "untouched",
    *(f"last_touch_{days:g}d" for days in LAST_TOUCH_DAYS),
)
"""One name per column of `course_features`."""

_SMOOTHING = 0.05
"""Share of the mean popularity that every course is given, so that a new one is rare and not impossible."""


def course_features(activity: CourseActivity) -> Floats:
    """The features, `(n, len(NAMES))`.

    Popularities are logarithms of the share of the mean, so that a common decay of all courses changes nothing.
    """
    touched = ~np.isnan(activity.first_ms)
    age = np.where(touched, (activity.at_ms - activity.first_ms) / MS_PER_DAY, np.inf)
    since_last = np.where(touched, (activity.at_ms - activity.last_ms) / MS_PER_DAY, np.inf)
    columns = [
        *log_share(activity.popularity),
        *log_share(activity.first_touches),
        *(np.exp2(-age / days) for days in AGE_DAYS),
        (~touched).astype(np.float64),
        *(np.exp2(-since_last / days) for days in LAST_TOUCH_DAYS),
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def log_share(popularity: Doubles) -> Doubles:
    """Log of each course's popularity relative to the mean of all, smoothed; `(..., n)`."""
    mean = popularity.mean(axis=-1, keepdims=True)
    relative = np.divide(popularity, mean, out=np.zeros_like(popularity), where=mean > 0)
    share: Doubles = np.log(relative + _SMOOTHING)
    return share
