"""Cleaned events as arrays over label-encoded users and courses.

Course rows follow the catalogue; user rows follow the sorted ids of the events given, so a map fitted on the training
side knows nobody who comes later. An interaction with a course the catalogue does not hold is left out and counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from recsys.catalog import Course
from recsys.engagement import LANDMARK_MS, RATING_MIDPOINT, EngagementWeights, ForwardDecay
from recsys.events import DONE_TYPES
from recsys.exclusion import Exclusion
from recsys.model.inputs import Doubles, Rows
from recsys.model.manifest import EngagementTable

Times = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class EngagementRule:
    """How the settings read an event: its weight, how that decays, and whether it ends its course."""

    weights: EngagementWeights
    decay: ForwardDecay
    exclusion: Exclusion

    def table(self) -> EngagementTable:
        """The form in a manifest."""
        return EngagementTable(
            half_life_days=self.decay.half_life_days, landmark_ms=LANDMARK_MS, weights=dict(self.weights.by_type)
        )


@dataclass(frozen=True, slots=True)
class EncodedEvents:
    """Events of known courses in time order.

    Attributes:
        users: User ids by row.
        courses: The catalogue by row.
        user: User row of each interaction `(n,)`.
        course: Course row `(n,)`.
        time: ms since 1970 UTC `(n,)`, non-decreasing.
        weight: Undecayed engagement weight `(n,)`, negative for dismissals.
        done: Whether the event makes its course one the learner is done with (`recsys.exclusion`) `(n,)`.
        unknown_courses: Interactions left out because the catalogue does not hold their course.
    """

    users: Sequence[str]
    courses: Sequence[Course]
    user: Rows
    course: Rows
    time: Times
    weight: Doubles
    done: NDArray[np.bool_]
    unknown_courses: int

    @property
    def shape(self) -> tuple[int, int]:
        """(users, courses)."""
        return len(self.users), len(self.courses)

    def touched(self) -> sparse.csr_array:
        """User × course, 1 where there was any interaction, liked or not."""
        ones = np.ones(len(self.user), np.float32)
        matrix = sparse.coo_array((ones, (self.user, self.course)), shape=self.shape).tocsr()
        matrix.data[:] = 1.0
        return matrix


def event_weights(events: pd.DataFrame, weights: EngagementWeights) -> Doubles:
    """Implicit feedback to engagement: the undecayed weight of each event, as `EngagementWeights.weight` gives it.

    Args:
        events: Columns `type` and `value` (NaN absent), `(n,)` rows.
        weights: The table.
    """
    base = events["type"].map(dict(weights.by_type)).to_numpy(np.float64)
    value = events["value"].to_numpy(np.float64)
    kind = events["type"].to_numpy()
    base = np.where(kind == "progress", base * np.nan_to_num(value), base)
    return np.where(kind == "rate", base * (np.nan_to_num(value, nan=RATING_MIDPOINT) - RATING_MIDPOINT), base)


def done_events(events: pd.DataFrame, done_progress: float) -> NDArray[np.bool_]:
    """Which events end a course for their learner, as `recsys.events.is_done` says it of one; `(n,)`."""
    watched = (events["type"] == "progress") & (events["value"] >= done_progress)
    return (events["type"].isin(DONE_TYPES) | watched).to_numpy(dtype=bool)


def encode(events: pd.DataFrame, courses: Sequence[Course], rule: EngagementRule) -> EncodedEvents:
    """Label-encodes cleaned events.

    Args:
        events: Columns `user_id`, `course_id`, `type`, `timestamp` (ms), `value`.
        courses: The catalogue.
        rule: How an event is read.
    """
    row_of = {course.course_id: row for row, course in enumerate(courses)}
    course: Rows = events["course_id"].map(row_of).fillna(-1).to_numpy().astype(np.int32)
    known = course >= 0
    kept = events[known]
    users, user = np.unique(kept["user_id"].to_numpy(str), return_inverse=True)
    time = kept["timestamp"].to_numpy(np.int64)
    order = np.argsort(time, kind="stable")
    return EncodedEvents(
        users=users.tolist(),
        courses=courses,
        user=user.astype(np.int32)[order],
        course=course[known][order],
        time=time[order],
        weight=event_weights(kept, rule.weights)[order],
        done=done_events(kept, rule.exclusion.done_progress)[order],
        unknown_courses=int((~known).sum()),
    )
