"""The model pointer: which bundle is in use, and whose cached lists are served beside its own. Pure.

A retrain or a rollback replaces every list. An increment changes little, and there may be one every few minutes, so the
lists of the versions that it follows are served on; each is ranked anew with its learner's next event, or in turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from zlib import crc32

import msgspec


@dataclass(frozen=True, slots=True)
class Line:
    """The versions that an increment follows, back to a retrain or a rollback at most.

    Attributes:
        versions: Newest first, 1 to `most`; their lists are served.
        number: Which increment it is since the line began, from 1.
        most: Versions that a list may be behind, at least 1.
    """

    versions: tuple[str, ...]
    number: int
    most: Annotated[int, msgspec.Meta(ge=1)]

    def in_turn(self, user_id: str) -> bool:
        """Whether an older list of this learner is to be ranked anew now: once in any `most` increments in a row.

        So a list is never more than `most` versions behind, and one increment has 1 / `most` of the learners ranked.
        """
        return crc32(user_id.encode()) % self.most == self.number % self.most

    def is_due(self, user_id: str, version: str) -> bool:
        """Whether a list has to be ranked anew: it is its learner's turn, or the next increment would drop it."""
        if version not in self.versions:
            return False
        return self.in_turn(user_id) or self.versions.index(version) + 1 == self.most


@dataclass(frozen=True, slots=True)
class ModelPointer:
    """Which bundle is in use.

    Attributes:
        version: The bundle's version.
        path: Its folder, as the publisher saw it.
        published_at_ms: When, ms since 1970 UTC.
        line: Of an increment; None for any other publication.
    """

    version: str
    path: str
    published_at_ms: int
    line: Line | None = None

    def serves(self, version: str) -> bool:
        """Whether cached lists of a version may be served while this is published."""
        return version == self.version or (self.line is not None and version in self.line.versions)

    def line_after(self, most: int) -> Line | None:
        """The line of an increment that replaces this publication.

        Args:
            most: Versions that a list may be behind; 0 has every list replaced.
        """
        if most == 0:
            return None
        earlier, number = ((), 0) if self.line is None else (self.line.versions, self.line.number)
        return Line((self.version, *earlier)[:most], number + 1, most)
