"""What is asked of a model in an evaluation: each learner's history at the cut-off, and what came after it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from batch.encoding import EncodedEvents, EngagementRule, event_weights
from recsys.engagement import LANDMARK_MS, EngagementWeights, ForwardDecay
from recsys.model.inputs import Doubles, Floats, Rows


class Case(NamedTuple):
    """One learner of the test side.

    Attributes:
        user_id: Who.
        user_row: User row of the training side; −1 for a learner it does not know (a cold user).
        rows: Courses touched before the cut-off `(m,)`.
        stored: Their stored forward-decayed engagement sums `(m,)`.
        excluded: Courses an answer at the cut-off leaves out `(x,)`: some or all of `rows` (`recsys.exclusion`).
        relevant: Courses liked after the cut-off that an answer may hold `(r,)`.
        at_ms: The cut-off.
    """

    user_id: str
    user_row: int
    rows: Rows
    stored: Doubles
    excluded: Rows
    relevant: Rows
    at_ms: int


class Recommender(Protocol):
    """Anything that scores the whole catalogue for a learner."""

    def score(self, case: Case) -> Floats:
        """Scores `(n_courses,)`, higher is better."""
        ...


def build_cases(encoded: EncodedEvents, after: pd.DataFrame, rule: EngagementRule, cutoff_ms: int) -> list[Case]:
    """The learners of the test side who have something relevant there.

    Args:
        encoded: The training side.
        after: Cleaned events at or after the cut-off.
        rule: How events are read, and what an answer leaves out; a course it leaves out is never relevant.
        cutoff_ms: ms since 1970 UTC.
    """
    histories = _histories(encoded, rule.decay)
    row_of = {user_id: row for row, user_id in enumerate(encoded.users)}
    nothing = _History(np.zeros(0, np.int32), np.zeros(0), np.zeros(0, dtype=bool))
    cases = []
    for user_id, liked in _liked(encoded, after, rule.weights).items():
        row = row_of.get(user_id, -1)
        known = histories[row] if row >= 0 else nothing
        excluded = known.rows if rule.exclusion.exclude_seen else known.rows[known.done]
        relevant = np.setdiff1d(liked, excluded).astype(np.int32)
        if relevant.size:
            cases.append(Case(user_id, row, known.rows, known.stored, excluded, relevant, cutoff_ms))
    return cases


def warm(cases: Sequence[Case]) -> list[Case]:
    """The cases whose learner the training side knows."""
    return [case for case in cases if case.user_row >= 0]


class _History(NamedTuple):
    """The courses one learner touched, their stored sums, and which of them they are done with."""

    rows: Rows
    stored: Doubles
    done: NDArray[np.bool_]


def _histories(encoded: EncodedEvents, decay: ForwardDecay) -> list[_History]:
    stored = encoded.weight * np.exp2((encoded.time - LANDMARK_MS) * decay.per_ms)
    pair, inverse = np.unique(
        encoded.user.astype(np.int64) * len(encoded.courses) + encoded.course, return_inverse=True
    )
    sums: Doubles = np.bincount(inverse, stored).astype(np.float64)
    done = np.bincount(inverse, encoded.done) > 0
    user, course = pair // len(encoded.courses), (pair % len(encoded.courses)).astype(np.int32)
    edges = np.searchsorted(user, np.arange(len(encoded.users) + 1))
    return [_History(course[start:end], sums[start:end], done[start:end]) for start, end in pairwise(edges)]


def _liked(encoded: EncodedEvents, after: pd.DataFrame, weights: EngagementWeights) -> dict[str, Rows]:
    row_of = {course.course_id: row for row, course in enumerate(encoded.courses) if not course.retired}
    rows = after["course_id"].map(row_of)
    events = pd.DataFrame({"user_id": after["user_id"], "row": rows, "weight": event_weights(after, weights)})[
        rows.notna().to_numpy()
    ]
    totals = events.groupby(["user_id", "row"], sort=True)["weight"].sum()
    liked = totals[totals > 0].reset_index()
    return {str(user): group["row"].to_numpy(np.int32) for user, group in liked.groupby("user_id")}
