"""The course features of now, from the parent's sums and what records have gained since. No I/O.

The same sums as the workers keep (`recsys.course_sums.activity`), so an increment is learned beside the features that
it is served with. They are facts of the stream: the gate does not judge them, and no rejection takes them back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.course_sums.activity import FIRST_TOUCH_DAYS, POPULARITY_DAYS, Terms, activity, added, untouched
from recsys.model.course_features import course_features
from recsys.model.inputs import Doubles, Floats
from recsys.model.mixed_affinity import ACTIVITY
from recsys.record import RecordRules
from stream.finetuning.learners import Change
from stream.finetuning.moved_rows import MovedRows

_LIKES = len(POPULARITY_DAYS) + FIRST_TOUCH_DAYS.index(np.inf)


class CourseActivity:
    """Sums of the courses of one parent.

    Args:
        arrays: The parent's. One without `ACTIVITY` keeps the features that it was published with.
        row_of: Course → row.
        rules: Of records.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], row_of: Mapping[str, int], rules: RecordRules) -> None:
        self._arrays, self._row_of, self._rules = arrays, row_of, rules
        self._vectors: Doubles | None = arrays.get(ACTIVITY)

    def move(
        self,
        moved: MovedRows,
        arrays: Mapping[str, NDArray[Any]],
        row_of: Mapping[str, int],
        records: Sequence[Change],
    ) -> None:
        """Goes over to other courses behind the parent's own.

        Args:
            moved: The rows.
            arrays: Of the parent with these courses.
            row_of: Course → row.
            records: Of the courses that came, as changes from nothing.
        """
        self._arrays, self._row_of = arrays, row_of
        if self._vectors is not None:
            self._vectors = moved.taken(self._vectors, untouched(1))
        self.add(records)

    def add(self, changes: Sequence[Change]) -> None:
        """Takes in what became of records, in their order."""
        moved = [each for change in changes for each in self._moved(change)]
        if self._vectors is not None and moved:
            rows, times, popularity, first_touches = np.array(moved, np.int64).T
            self._vectors = added(self._vectors, Terms(rows, times, popularity, first_touches))

    def _moved(self, change: Change) -> Iterator[tuple[int, int, int, int]]:
        """Row, time, and what popularities and first touches change by, of each contribution that came or went."""
        row = self._row_of.get(change.course)
        if row is None:
            return
        was, now = ([at for at, _ in self._rules.liked(each)] for each in (change.was, change.now))
        if now and now[:-1] == was:  # nearly all: one more
            yield row, now[-1], 1, 0
        elif now != was:
            more = Counter(now)
            more.subtract(was)
            yield from ((row, at_ms, count, 0) for at_ms, count in more.items() if count)
        first_before, first_after = min(was, default=None), min(now, default=None)
        if first_before != first_after:
            if first_before is not None:
                yield row, first_before, 0, -1
            if first_after is not None:
                yield row, first_after, 0, 1

    def likes(self) -> float:
        """Pairs of learner and course that are liked; 0 where the parent does not say what its features are made of."""
        return 0.0 if self._vectors is None else float(self._vectors[:, _LIKES].sum())

    def features(self, at_ms: int) -> Floats:
        """Standardised as the parent's, as of an instant (ms since 1970 UTC), `(n, f)`."""
        if self._vectors is None:
            frozen: Floats = self._arrays["features"]
            return frozen
        found = course_features(activity(self._vectors, at_ms))
        features: Floats = (found - self._arrays["feature_mean"]) / self._arrays["feature_scale"]
        return features.astype(np.float32)

    def arrays(self, at_ms: int) -> dict[str, NDArray[Any]]:
        """Of a bundle whose features are those of an instant."""
        sums = {} if self._vectors is None else {ACTIVITY: self._vectors}
        return {**sums, "features": self.features(at_ms)}

    def state(self) -> Doubles | None:
        """For the checkpoint."""
        return self._vectors

    def restore(self, state: Doubles | None) -> None:
        """From the checkpoint of a line with this parent."""
        self._vectors = state
