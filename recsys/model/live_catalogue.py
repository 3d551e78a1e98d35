"""The catalogue as its topic says now, and the model of one process with it (`recsys.model.placed_courses`)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol, Self, TypeVar

import structlog

from recsys.catalog import Course
from recsys.catalogue_log import Catalogue

log = structlog.get_logger(__name__)


class Placing(Protocol):
    """A model that can place the courses of a catalogue."""

    def with_catalogue(self, courses: Mapping[str, Course], retired: Collection[str]) -> Self:
        """The same model with the catalogue's courses."""
        ...


M = TypeVar("M", bound=Placing)


class LiveCatalogue:
    """What the records read so far make of the catalogue."""

    def __init__(self) -> None:
        self._catalogue = Catalogue()
        self._refused = 0
        self._courses: Mapping[str, Course] = {}
        self._retired: Collection[str] = frozenset()

    def add(self, records: Iterable[tuple[bytes | None, bytes | None, int]]) -> None:
        """Takes records, key, value and offset each, in the order of the log; what is no course is said."""
        for key, value, offset in records:
            self._catalogue.add(key, value, offset)
        # Copies: a thread may be placing the courses of before.
        self._courses, self._retired = dict(self._catalogue.courses), frozenset(self._catalogue.retired)
        refused = self._catalogue.refused.total()
        if refused > self._refused:
            self._refused = refused
            log.warning("courses_refused", problems=self._catalogue.remarks())

    def of(self, model: M) -> M:
        """The model with the catalogue of now. May take a second: for a thread."""
        return model.with_catalogue(self._courses, self._retired)
