"""What is asked of a model in an evaluation: each learner's history at the cut-off, and what came after it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np
import pandas as pd

from batch.encoding import InteractionLog, event_weights
from recsys.engagement import LANDMARK_MS, EngagementWeights, ForwardDecay
from recsys.model.inputs import Doubles, Floats, Rows


class Case(NamedTuple):
    """One learner of the test side.

    Attributes:
        user_id: Who.
        user_row: Row in the training log; −1 for a learner it does not know (a cold user).
        rows: Courses touched before the cut-off `(m,)`.
        stored: Their stored forward-decayed engagement sums `(m,)`.
        relevant: Courses first touched, and liked, after the cut-off `(r,)`.
        at_ms: The cut-off.
    """

    user_id: str
    user_row: int
    rows: Rows
    stored: Doubles
    relevant: Rows
    at_ms: int


class Recommender(Protocol):
    """Anything that scores the whole catalogue for a learner."""

    def score(self, case: Case) -> Floats:
        """Scores `(n_courses,)`, higher is better."""
        ...


def build_cases(
    log: InteractionLog, after: pd.DataFrame, weights: EngagementWeights, decay: ForwardDecay, cutoff_ms: int
) -> list[Case]:
    """The learners of the test side who have something relevant there.

    Args:
        log: The training side.
        after: Cleaned events at or after the cut-off.
        weights: Engagement weight per event type.
        decay: Of the stored sums.
        cutoff_ms: ms since 1970 UTC.
    """
    histories = _histories(log, decay)
    row_of = {user_id: row for row, user_id in enumerate(log.users)}
    cases = []
    for user_id, liked in _liked(log, after, weights).items():
        row = row_of.get(user_id, -1)
        rows, stored = histories[row] if row >= 0 else (np.zeros(0, np.int32), np.zeros(0))
        relevant = np.setdiff1d(liked, rows)
        if relevant.size:
            cases.append(Case(user_id, row, rows, stored, relevant.astype(np.int32), cutoff_ms))
    return cases


def warm(cases: Sequence[Case]) -> list[Case]:
    """The cases whose learner the training side knows."""
    return [case for case in cases if case.user_row >= 0]


def _histories(log: InteractionLog, decay: ForwardDecay) -> list[tuple[Rows, Doubles]]:
    stored = log.weight * np.exp2((log.time - LANDMARK_MS) * decay.per_ms)
    pair, inverse = np.unique(log.user.astype(np.int64) * len(log.courses) + log.course, return_inverse=True)
    sums: Doubles = np.bincount(inverse, stored).astype(np.float64)
    user, course = pair // len(log.courses), (pair % len(log.courses)).astype(np.int32)
    edges = np.searchsorted(user, np.arange(len(log.users) + 1))
    return [(course[start:end], sums[start:end]) for start, end in pairwise(edges)]


def _liked(log: InteractionLog, after: pd.DataFrame, weights: EngagementWeights) -> dict[str, Rows]:
    row_of = {course.course_id: row for row, course in enumerate(log.courses) if not course.retired}
    rows = after["course_id"].map(row_of)
    events = pd.DataFrame({"user_id": after["user_id"], "row": rows, "weight": event_weights(after, weights)})[
        rows.notna().to_numpy()
    ]
    totals = events.groupby(["user_id", "row"], sort=True)["weight"].sum()
    liked = totals[totals > 0].reset_index()
    return {str(user): group["row"].to_numpy(np.int32) for user, group in liked.groupby("user_id")}
