"""The trained hybrid model as arrays: what the stream worker and the API rank with. NumPy only, no TensorFlow.

A `Scorer` is immutable and may be shared between threads. It turns ids into rows and scores into lists; the scores
themselves are `mixed_affinity.py`'s, or `affinity.py`'s in bundles of baselines and of the format before.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from recsys.catalog import Course
from recsys.course_sums.activity import by_row
from recsys.model.affinity import Affinity
from recsys.model.bundle import MIXER, Bundle, load_bundle
from recsys.model.inputs import Doubles, Floats, Rows
from recsys.model.mixed_affinity import MixedAffinity
from recsys.model.placed_courses import BundleTexts
from recsys.model.top_k import Indices, top_k

MAX_CELLS = 1 << 18
"""Learners × courses scored at a time: some 4 MiB in all, which a processor's cache about holds."""


class Learner(NamedTuple):
    """Whom to rank for.

    Attributes:
        user_id: Any string; one not trained on is served as the unknown user.
        engagement: Course id → stored forward-decayed sum; unknown courses are ignored.
        exclude: Courses never returned.
    """

    user_id: str
    engagement: Mapping[str, float]
    exclude: Collection[str] = ()


class LearnersAffinity(Protocol):
    """A way to score learners: what a batch needs to know, the scores, and those of single courses to order by."""

    def batch(self, users: Sequence[int], owner: Indices, rows: Rows, stored: Doubles, *, at_ms: int) -> Any:
        """What `scores` needs of some learners."""
        ...

    def scores(self, batch: Any) -> Floats:
        """All scores of each learner `(learners, n_courses)`, a new array."""
        ...

    def score_of(self, batch: Any, owner: Indices, rows: Indices) -> Floats:
        """Scores of single cells `(c,)`, rounded alike in every batch."""
        ...

    def slack(self, batch: Any) -> Floats:
        """Twice the most by which both differ `(learners,)`."""
        ...


class Scorer:
    """Ranks the catalogue for a learner from engagement alone.

    Args:
        bundle: A verified bundle.
        texts: Places courses in it; None for a bundle as it was published.

    Attributes:
        version: The bundle's version.
        course_ids: The catalogue; position `i` is course row `i` and bit `i` of an `allowed` mask.
        courses: The same by id, with titles and attributes.

    Raises:
        BundleError: When arrays are missing or their shapes do not fit each other.
    """

    def __init__(self, bundle: Bundle, texts: BundleTexts | None = None) -> None:
        if texts is None:
            bundle = replace(bundle, blobs={})
        self._bundle, self._texts = bundle, texts or BundleTexts(bundle)
        self.version: str = bundle.manifest.version
        self.course_ids: Sequence[str] = tuple(course.course_id for course in bundle.courses)
        self.courses: Mapping[str, Course] = {course.course_id: course for course in bundle.courses}
        self._affinity: LearnersAffinity = MixedAffinity(bundle) if MIXER in bundle.arrays else Affinity(bundle)
        self._row_of = {course_id: row for row, course_id in enumerate(self.course_ids)}
        self.catalogue: Container[str] = self._row_of.keys()
        self._user_row = {user_id: row for row, user_id in enumerate(bundle.users, start=1)}
        self._offered = np.array([not course.retired for course in bundle.courses], dtype=bool)
        self._ids = np.array(self.course_ids, dtype=object)

    @classmethod
    def load(cls, path: Path) -> Scorer:
        """Loads and verifies a bundle's folder.

        Raises:
            BundleError: When the bundle does not verify; nothing is loaded then.
        """
        return cls(load_bundle(path))

    def with_activity(self, ids: Sequence[str], vectors: Doubles, *, at_ms: int) -> Self:
        """The same model with course features as of a time; itself where its bundle has none to replace.

        Args:
            ids: Courses, known ones or not.
            vectors: What the workers keep of each (`recsys.course_sums.activity`), `(len(ids), WIDTH)`.
            at_ms: The time, ms since 1970 UTC.
        """
        if not isinstance(self._affinity, MixedAffinity):
            return self
        other = copy(self)
        affinity = self._affinity.with_activity(by_row(ids, vectors, self._row_of), at_ms)
        other._affinity = affinity  # noqa: SLF001 - of this class
        return other

    def with_catalogue(self, courses: Mapping[str, Course], retired: Collection[str]) -> Self:
        """The same model with a catalogue's courses (`recsys.model.placed_courses`): new ones have rows at the end.

        Args:
            courses: Course id → its newest state.
            retired: Courses that are not recommended any more.
        """
        found = self._texts.with_catalogue(courses, retired)
        return self if found is self._bundle else type(self)(found, self._texts)

    def read_texts(self) -> None:
        """Reads what new courses are placed by, so that the first one does not wait for it. Takes a second or more."""
        self._texts.read()

    def rank(
        self,
        user_id: str,
        engagement: Mapping[str, float],
        *,
        at_ms: int,
        n: int,
        exclude: Collection[str] = (),
        allowed: NDArray[np.bool_] | None = None,
    ) -> tuple[list[str], list[float]]:
        """The top-N of one learner.

        Args:
            user_id: Any string; one not trained on is served as the unknown user.
            engagement: Course id → stored forward-decayed sum; unknown courses are ignored.
            at_ms: The time asked for, ms since 1970 UTC.
            n: Most courses returned.
            exclude: Courses never returned.
            allowed: Mask `(n_courses,)` over `course_ids`; None allows all.

        Returns:
            Course ids, best first, and their scores, non-increasing; equal scores in catalogue order.
        """
        return self.rank_many([Learner(user_id, engagement, exclude)], at_ms=at_ms, n=n, allowed=allowed)[0]

    def rank_many(
        self, learners: Sequence[Learner], *, at_ms: int, n: int, allowed: NDArray[np.bool_] | None = None
    ) -> list[tuple[list[str], list[float]]]:
        """The top-N of each learner, aligned with `learners`: the very lists and scores that `rank` returns.

        Works through slices of at most `MAX_CELLS` scores, so that memory stays bounded; releases the interpreter's
        lock in the matrix products and the selection.

        Args:
            learners: Whom to rank for.
            at_ms: The time asked for, ms since 1970 UTC.
            n: Most courses a list.
            allowed: Mask `(n_courses,)` over `course_ids`; None allows all.
        """
        hidden = ~self._offered if allowed is None else ~(self._offered & allowed)
        size = max(1, MAX_CELLS // max(1, len(self.course_ids)))
        ranked = []
        for start in range(0, len(learners), size):
            ranked += self._rank_slice(learners[start : start + size], at_ms=at_ms, n=n, hidden=hidden)
        return ranked

    def _rank_slice(
        self, learners: Sequence[Learner], *, at_ms: int, n: int, hidden: NDArray[np.bool_]
    ) -> list[tuple[list[str], list[float]]]:
        batch = self._batch(learners, at_ms)
        scores = self._affinity.scores(batch)
        if hidden.any():
            scores[:, hidden] = -np.inf
        owner, rows, known = self._rows([learner.exclude for learner in learners])
        scores[owner[known], rows[known]] = -np.inf
        top = top_k(scores, n, slack=self._affinity.slack(batch), exact=partial(self._affinity.score_of, batch))
        ids, values = self._ids[top.columns].tolist(), top.scores.tolist()
        bounds = [0, *top.counts.cumsum().tolist()]
        return [(ids[start:end], values[start:end]) for start, end in pairwise(bounds)]

    def score(self, user_id: str, engagement: Mapping[str, float], *, at_ms: int) -> Floats:
        """The affinity of one learner to every course, `(n_courses,)`, retired ones too."""
        scores: Floats = self._affinity.scores(self._batch([Learner(user_id, engagement)], at_ms))[0]
        return scores

    def score_rows(self, user_row: int, rows: Rows, stored: Doubles, *, at_ms: int) -> Floats:
        """As `score`, from rows: `user_row` 0 is the unknown user, `rows` and `stored` `(m,)` the engagement."""
        owner = np.zeros(len(rows), np.intp)
        scores: Floats = self._affinity.scores(self._affinity.batch([user_row], owner, rows, stored, at_ms=at_ms))[0]
        return scores

    def _batch(self, learners: Sequence[Learner], at_ms: int) -> Any:
        users = [self._user_row.get(learner.user_id, 0) for learner in learners]
        stored = np.array([value for learner in learners for value in learner.engagement.values()], np.float64)
        owner, rows, known = self._rows([learner.engagement for learner in learners])
        return self._affinity.batch(users, owner[known], rows[known], stored[known], at_ms=at_ms)

    def _rows(self, courses: Sequence[Collection[str]]) -> tuple[Indices, Rows, NDArray[np.bool_]]:
        """Of all courses `(m,)`: which learner's, the course row (-1: unknown), whether it is known."""
        row_of = self._row_of.get
        rows = np.array([row_of(course, -1) for some in courses for course in some], np.int32)
        owner = np.arange(len(courses)).repeat([len(some) for some in courses])
        return owner, rows, rows >= 0
