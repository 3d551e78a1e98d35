"""A loaded model bundle ranks under the filters of a request. It is immutable, so a reference to it is a version."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from recsys.catalog import Course
from recsys.model.inputs import Doubles
from serving.recommend.query import ATTRIBUTES, Attributes


class Ranker(Protocol):
    """What serving asks of `recsys.model.scorer.Scorer`."""

    version: str
    course_ids: Sequence[str]
    courses: Mapping[str, Course]

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
        """The top-N of one learner, best first, with scores."""
        ...

    def with_activity(self, ids: Sequence[str], vectors: Doubles, *, at_ms: int) -> Self:
        """The same model with course features as of a time."""
        ...

    def with_catalogue(self, courses: Mapping[str, Course], retired: Collection[str]) -> Self:
        """The same model with a catalogue's courses."""
        ...

    def read_texts(self) -> None:
        """Reads what new courses are placed by."""
        ...


LoadBundle = Callable[[Path], Ranker]


class LoadedModel:
    """One version of the model with its catalogue.

    Args:
        ranker: The scorer of a verified bundle.
        as_of_now: The same scorer with the course features of now.
    """

    def __init__(self, ranker: Ranker, as_of_now: Callable[[Ranker], Ranker] = lambda ranker: ranker) -> None:
        self._ranker, self._as_of_now = ranker, as_of_now
        self.version = ranker.version
        self.courses: Mapping[str, Course] = ranker.courses
        catalogue = [ranker.courses[course_id] for course_id in ranker.course_ids]
        self._columns = {name: _Column([getattr(course, name) for course in catalogue]) for name in ATTRIBUTES}

    def with_catalogue(self, courses: Mapping[str, Course], retired: Collection[str]) -> Self:
        """The same version with the courses of a catalogue, and without those that are retired."""
        ranker = self._ranker.with_catalogue(courses, retired)
        return self if ranker is self._ranker else type(self)(ranker, self._as_of_now)

    def read_texts(self) -> None:
        """Reads what new courses are placed by, so that the first one does not wait for it."""
        self._ranker.read_texts()

    def rank(
        self,
        user_id: str,
        engagement: Mapping[str, float],
        *,
        at_ms: int,
        n: int,
        exclude: Collection[str] = (),
        attributes: Attributes = Attributes(),  # noqa: B008 (frozen)
    ) -> tuple[list[str], list[float]]:
        """As `Scorer.rank`, among the courses that have the attributes."""
        return self._as_of_now(self._ranker).rank(
            user_id, engagement, at_ms=at_ms, n=n, exclude=exclude, allowed=self._allowed(attributes)
        )

    def _allowed(self, attributes: Attributes) -> NDArray[np.bool_] | None:
        mask: NDArray[np.bool_] | None = None
        for name, wanted in attributes.given():
            equal = self._columns[name].equal(wanted)
            mask = equal if mask is None else mask & equal
        return mask


class _Column:
    """One attribute of the whole catalogue as small integers, so that a filter is one comparison."""

    def __init__(self, values: Sequence[str]) -> None:
        self._code_of: dict[str, int] = {}
        codes = [self._code_of.setdefault(value.casefold(), len(self._code_of)) for value in values]
        self._codes = np.array(codes, dtype=np.int32)

    def equal(self, wanted: str) -> NDArray[np.bool_]:
        mask: NDArray[np.bool_] = self._codes == self._code_of.get(wanted.casefold(), -1)
        return mask
