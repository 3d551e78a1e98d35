"""What is asked of a model in an evaluation: each learner's history at the cut-off, and what came after it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np
import pandas as pd
from scipy import sparse

from batch.encoding import EncodedEvents, EngagementRule, Times, encode
from recsys.catalog import Course
from recsys.engagement import LANDMARK_MS, ForwardDecay
from recsys.model.inputs import Doubles, Floats, Rows


class Case(NamedTuple):
    """One learner of the test side.

    Attributes:
        user_id: Who.
        user_row: User row of the training side; −1 for a learner it does not know (a cold user).
        rows: Courses touched before the cut-off `(m,)`.
        stored: Their stored forward-decayed engagement sums `(m,)`, as of their records at the cut-off.
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

    Relevant is what the record of the events after the cut-off likes: a course left again is not.

    Args:
        encoded: The training side.
        after: Cleaned events at or after the cut-off.
        rule: How events are read, and what an answer leaves out; a course it leaves out is never relevant.
        cutoff_ms: ms since 1970 UTC.
    """
    known_of = histories(encoded, rule.decay, cutoff_ms)
    row_of = {user_id: row for row, user_id in enumerate(encoded.users)}
    nothing = LearnerHistory(np.zeros(0, np.int32), np.zeros(0), np.zeros(0, np.int64))
    cases = []
    for user_id, liked in _liked(encoded.courses, after, rule).items():
        row = row_of.get(user_id, -1)
        known = known_of[row] if row >= 0 else nothing
        seen_out = (known.done_until == 0) & rule.exclusion.exclude_seen
        excluded = known.rows[(known.done_until > cutoff_ms) | seen_out]
        relevant = np.setdiff1d(liked, excluded).astype(np.int32)
        if relevant.size:
            cases.append(Case(user_id, row, known.rows, known.stored, excluded, relevant, cutoff_ms))
    return cases


def warm(cases: Sequence[Case]) -> list[Case]:
    """The cases whose learner the training side knows."""
    return [case for case in cases if case.user_row >= 0]


class LearnerHistory(NamedTuple):
    """The courses one learner touched, their stored sums, and until when they are done with them (0: never)."""

    rows: Rows
    stored: Doubles
    done_until: Times


def histories(encoded: EncodedEvents, decay: ForwardDecay, cutoff_ms: int) -> list[LearnerHistory]:
    """What the records of each learner say just before an instant, by user row."""
    held = encoded.held(cutoff_ms)
    pair, inverse = np.unique(
        encoded.user.astype(np.int64) * len(encoded.courses) + encoded.course, return_inverse=True
    )
    stored = encoded.weight[held] * np.exp2((encoded.counted[held] - LANDMARK_MS) * decay.per_ms)
    sums: Doubles = np.bincount(inverse[held], stored, minlength=len(pair)).astype(np.float64)
    done_until = np.zeros(len(pair), np.int64)
    np.maximum.at(done_until, inverse[held], encoded.done_until[held])
    user, course = pair // len(encoded.courses), (pair % len(encoded.courses)).astype(np.int32)
    edges = np.searchsorted(user, np.arange(len(encoded.users) + 1))
    return [LearnerHistory(course[start:end], sums[start:end], done_until[start:end]) for start, end in pairwise(edges)]


def _liked(courses: Sequence[Course], after: pd.DataFrame, rule: EngagementRule) -> dict[str, Rows]:
    later = encode(after, courses, rule)
    held = later.held()
    sums = sparse.coo_array((later.weight[held], (later.user[held], later.course[held])), shape=later.shape).tocsr()
    offered = np.array([not course.retired for course in courses], dtype=bool)
    liked = {}
    for user_id, (start, end) in zip(later.users, pairwise(sums.indptr), strict=True):
        rows = sums.indices[start:end][sums.data[start:end] > 0]
        if offered[rows].any():
            liked[user_id] = np.sort(rows[offered[rows]]).astype(np.int32)
    return liked
