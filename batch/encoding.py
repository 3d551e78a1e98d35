"""Cleaned events as contributions to learner–course records, over label-encoded users and courses.

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

from batch.records import Times, contributions
from recsys.catalog import Course
from recsys.engagement import LANDMARK_MS, MS_PER_DAY, EngagementWeights, ForwardDecay
from recsys.exclusion import Exclusion
from recsys.model.inputs import Doubles, Rows
from recsys.model.manifest import EngagementTable
from recsys.record import RecordRules
from recsys.record.rules import GIVE_BACK_MS

__all__ = ["EncodedEvents", "EngagementRule", "Times", "encode"]


@dataclass(frozen=True, slots=True)
class EngagementRule:
    """How the settings read events: what a record weighs, how that decays, and when it ends its course.

    Attributes:
        weights: Of the event types.
        decay: Of engagement.
        exclusion: What an answer leaves out.
        bucket_ms: Length of a flow's bucket.
        give_back_ms: After this, a course that was left may be recommended again.
    """

    weights: EngagementWeights
    decay: ForwardDecay
    exclusion: Exclusion
    bucket_ms: int = MS_PER_DAY
    give_back_ms: int = GIVE_BACK_MS

    def table(self) -> EngagementTable:
        """The form in a manifest."""
        return EngagementTable(
            half_life_days=self.decay.half_life_days, landmark_ms=LANDMARK_MS, weights=dict(self.weights.by_type)
        )

    def records(self) -> RecordRules:
        """How events are folded into records."""
        return RecordRules(
            weights=self.weights,
            decay=self.decay,
            bucket_ms=self.bucket_ms,
            done_progress=self.exclusion.done_progress,
            give_back_ms=self.give_back_ms,
        )


@dataclass(frozen=True, slots=True)
class EncodedEvents:
    """What events of known courses contributed to the records of their learners, in time order.

    Whatever repeats an event, or was replaced before anything could see it, is not in here (`batch.records`).

    Attributes:
        users: User ids by row.
        courses: The catalogue by row.
        user: User row of each contribution `(n,)`.
        course: Course row `(n,)`.
        time: When its event came, ms since 1970 UTC `(n,)`, non-decreasing.
        until: When an event ended it, such as an unenrolment an enrolment; `recsys.record.FOREVER_MS` where none did
            `(n,)`.
        counted: From when its weight decays: the begin of a flow's bucket, else `time` `(n,)`.
        weight: Undecayed engagement weight `(n,)`, negative for dismissals.
        done_until: Until when it keeps the course from being recommended, 0 where it does not `(n,)`.
        unknown_courses: Interactions left out because the catalogue does not hold their course.
    """

    users: Sequence[str]
    courses: Sequence[Course]
    user: Rows
    course: Rows
    time: Times
    until: Times
    counted: Times
    weight: Doubles
    done_until: Times
    unknown_courses: int

    @property
    def shape(self) -> tuple[int, int]:
        """(users, courses)."""
        return len(self.users), len(self.courses)

    def held(self, at_ms: int | None = None) -> NDArray[np.intp]:
        """The contributions that the records hold at an instant, in time order.

        Args:
            at_ms: Only what came strictly before it counts, ends of earlier contributions too; None: everything.
        """
        if at_ms is None:
            at_ms = int(self.time[-1]) + 1 if len(self.time) else 0
        before = int(np.searchsorted(self.time, at_ms))
        return np.flatnonzero(self.until[:before] >= at_ms)

    def liked(self, at_ms: int | None = None) -> NDArray[np.intp]:
        """Those of `held` with a positive weight."""
        held = self.held(at_ms)
        return held[self.weight[held] > 0]

    def touched(self) -> sparse.csr_array:
        """User × course, 1 where there was any interaction, liked or not."""
        ones = np.ones(len(self.user), np.float32)
        matrix = sparse.coo_array((ones, (self.user, self.course)), shape=self.shape).tocsr()
        matrix.data[:] = 1.0
        return matrix


def encode(events: pd.DataFrame, courses: Sequence[Course], rule: EngagementRule) -> EncodedEvents:
    """Label-encodes cleaned events and folds them.

    Args:
        events: Columns `user_id`, `course_id`, `type`, `timestamp` (ms), `value`; no control events.
        courses: The catalogue.
        rule: How events are read.
    """
    row_of = {course.course_id: row for row, course in enumerate(courses)}
    course = events["course_id"].map(row_of).fillna(-1).to_numpy().astype(np.int64)
    known = course >= 0
    kept = events[known]
    users, user = _sorted_codes(kept["user_id"])
    found = contributions(user * max(1, len(courses)) + course[known], kept, rule.records())
    rows, columns = np.divmod(found.pair, max(1, len(courses)))
    return EncodedEvents(
        users=users,
        courses=courses,
        user=rows.astype(np.int32),
        course=columns.astype(np.int32),
        time=found.time,
        until=found.until,
        counted=found.counted,
        weight=found.weight,
        done_until=found.done_until,
        unknown_courses=int((~known).sum()),
    )


def _sorted_codes(ids: pd.Series[str]) -> tuple[list[str], Times]:
    """The distinct ids in order, and the place of each row's among them `(n,)`."""
    codes, distinct = pd.factorize(ids)
    order = sorted(range(len(distinct)), key=distinct.__getitem__)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return [str(distinct[at]) for at in order], place[codes]
