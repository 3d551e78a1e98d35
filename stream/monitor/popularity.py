"""Popularity that forgets, updated with every event: the rival that a model has to beat at each moment. Pure."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

_FIRST_ROWS = 1024
_REBASE_AT = 500.0
"""Half-lives after which sums are scaled down; a double spans 1022."""


class Popularity:
    """Decayed sums of courses: a touch at time t adds 2^((t − landmark) / half-life), so that sums need no decay.

    The landmark moves on from time to time, and all sums with it, so that any half-life works for ever.

    Args:
        half_life_ms: Time in which a touch comes to count half, ms.
    """

    def __init__(self, half_life_ms: float) -> None:
        self._half_life_ms = half_life_ms
        self._row_of: dict[str, int] = {}
        self._sums = np.zeros(_FIRST_ROWS)
        self._landmark_ms: int | None = None

    def add(self, course_id: str, at_ms: int) -> None:
        """One touch.

        Args:
            course_id: The course.
            at_ms: When, ms since 1970 UTC; may lie before earlier touches.
        """
        if self._landmark_ms is None:
            self._landmark_ms = at_ms
        age = (at_ms - self._landmark_ms) / self._half_life_ms
        if age > _REBASE_AT:
            self._sums *= 2.0**-age if age < 2 * _REBASE_AT else 0.0
            self._landmark_ms, age = at_ms, 0.0
        row = self._row_of.setdefault(course_id, len(self._row_of))
        if row == len(self._sums):
            self._sums = np.concatenate([self._sums, np.zeros(row)])
        self._sums[row] += 2.0**age

    def place(self, course_id: str, exclude: Collection[str] = ()) -> int | None:
        """The course's place among all that were touched, 1 is the most popular; equal ones count against it.

        Args:
            course_id: The course; None is returned where it was never touched or is excluded.
            exclude: Courses that are not recommended.
        """
        row = self._row_of.get(course_id)
        if row is None or course_id in exclude:
            return None
        bound = self._sums[row]
        above = int(np.count_nonzero(self._sums[: len(self._row_of)] >= bound))
        rows = [self._row_of[course] for course in set(exclude) if course in self._row_of]
        return above - int(np.count_nonzero(self._sums[rows] >= bound))
