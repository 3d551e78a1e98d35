"""As-of snapshots: everything known strictly before one instant, and what learners newly liked in the time after it.

A ranker trained on snapshots learns from the situation it is used in: history up to now, and likes to come. Nothing in
a snapshot but `labels` looks at or beyond its instant; a test puts events there and sees no array change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from batch.encoding import EncodedEvents
from recsys.course_sums.activity import CourseActivity, Terms, activity, added, untouched
from recsys.engagement import MS_PER_DAY
from recsys.model.inputs import Doubles, Floats, Rows


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is known of `u` learners and `n` courses at one instant.

    Attributes:
        at_ms: The instant, ms since 1970 UTC.
        sums: Engagement decayed to `at_ms`, positive sums only, `(u, n)`.
        seen: 1 where there was any event, `(u, n)`.
        activity: Of the courses.
        labels: 1 for pairs liked in the time after the instant that no list would have left out, `(u, n)`.
    """

    at_ms: int
    sums: sparse.csr_array
    seen: sparse.csr_array
    activity: CourseActivity
    labels: sparse.csr_array

    def learners(self) -> Rows:
        """Rows of learners with engagement before the instant and labels after it."""
        known = np.diff(self.sums.indptr) > 0
        return np.flatnonzero(known & (np.diff(self.labels.indptr) > 0)).astype(np.int32)

    def newcomers(self) -> Rows:
        """Rows of learners without any event before the instant and with labels after it."""
        unknown = np.diff(self.seen.indptr) == 0
        return np.flatnonzero(unknown & (np.diff(self.labels.indptr) > 0)).astype(np.int32)


def snapshot(
    encoded: EncodedEvents, at_ms: int, until_ms: int | None, *, half_life_days: float, exclude_seen: bool
) -> Snapshot:
    """Takes a snapshot.

    Args:
        encoded: Contributions in time order.
        at_ms: The instant; events at it count as later ones.
        until_ms: Labels are what the records then hold of events since; None for no labels.
        half_life_days: Of the engagement sums.
        exclude_seen: Whether lists leave out all courses seen, or only those the learner is done with.
    """
    now = int(np.searchsorted(encoded.time, at_ms))
    held = encoded.held(at_ms)
    decay = np.exp2((encoded.counted[held] - at_ms) / (half_life_days * MS_PER_DAY))
    sums = _by_pair(encoded, held, encoded.weight[held] * decay)
    sums.data[sums.data <= 0] = 0.0
    sums.eliminate_zeros()
    seen = _indicator(_by_pair(encoded, np.arange(now), np.ones(now)))
    later = held if until_ms is None else encoded.held(until_ms)
    later = later[later >= now]
    liked = _indicator(_by_pair(encoded, later, encoded.weight[later]))
    labels = (liked - liked.multiply(_left_out(encoded, at_ms, seen if exclude_seen else None))).tocsr()
    labels.eliminate_zeros()
    return Snapshot(at_ms, sums, seen, activity_before(encoded, at_ms), labels)


def _left_out(encoded: EncodedEvents, at_ms: int, seen: sparse.csr_array | None) -> sparse.csr_array:
    """1 for what lists leave out at an instant, as `recsys.exclusion` says; without `seen`, what is done alone."""
    held = encoded.held(at_ms)
    until = encoded.done_until[held]
    done = _indicator(_by_pair(encoded, held, until > at_ms))
    if seen is None:
        return done
    given_back = _indicator(_by_pair(encoded, held, (until > 0) & (until <= at_ms)))
    return _indicator((done + seen - seen.multiply(given_back)).tocsr())


def activity_before(encoded: EncodedEvents, at_ms: int) -> CourseActivity:
    """What happened to each course strictly before an instant."""
    return activity(vectors_before(encoded, at_ms), at_ms)


def vectors_before(encoded: EncodedEvents, at_ms: int) -> Doubles:
    """The same as the workers keep it (`recsys.course_sums.activity`), `(n, WIDTH)`: from what records then held."""
    liked = encoded.liked(at_ms)
    course, counted = encoded.course[liked], encoded.counted[liked]
    n = len(encoded.courses)
    pair = encoded.user[liked].astype(np.int64) * n + course
    order = np.lexsort((counted, pair))
    first_touches = np.zeros(len(pair))
    first_touches[order[np.unique(pair[order], return_index=True)[1]]] = 1.0
    return added(untouched(n), Terms(course, counted.astype(np.float64), np.ones(len(pair)), first_touches))


def context(sums: sparse.csr_array) -> Floats:
    """What the mixer's network sees of each learner: log1p of how many courses and how much engagement, `(u, 2)`."""
    courses = np.diff(sums.indptr).astype(np.float64)
    return np.log1p(np.stack([courses, np.asarray(sums.sum(axis=1)).ravel()], axis=1)).astype(np.float32)


def _by_pair(encoded: EncodedEvents, places: NDArray[np.intp], values: NDArray[Any]) -> sparse.csr_array:
    """Sums of `values` of some contributions by learner and course."""
    cells = (encoded.user[places], encoded.course[places])
    return sparse.coo_array((values.astype(np.float64), cells), shape=encoded.shape).tocsr()


def _indicator(matrix: sparse.csr_array) -> sparse.csr_array:
    """1 where the matrix is positive, nothing elsewhere."""
    positive = matrix.copy()
    positive.data = (positive.data > 0).astype(np.float32)
    positive.eliminate_zeros()
    return positive
