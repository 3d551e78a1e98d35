"""Counts of what an ingest did: events by name and type, what was skipped and refused, learners, unjoined courses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Final

from recsys.adapters.outcomes import OTHER_NAME, Mapped, Outcome, Refused, Skipped

MOST_NAMES: Final = 500
"""Names shown apart; those met later are counted together."""

MOST_COURSES: Final = 20
"""Unjoined courses named; the others are counted."""


@dataclass(slots=True)
class Refusals:
    """Lines with one reason, and the first of them."""

    lines: int
    example: str


@dataclass(slots=True)
class Summary:
    """What became of every line: `read` is the sum of `events`, `skipped` and `refused`.

    Attributes:
        catalogue: Ids of the courses that are known; None where no catalogue was given.
        distinct: Whether learners and courses are told apart, which takes memory for each; not in a process that
            never ends.
        read: Lines that were not empty.
        events: (Platform's name, event type) → events.
        skipped: (Platform's name, why) → lines.
        refused: Reason → lines, and the first of them.
        learners: Ids seen in events.
        courses: Course id → events.
    """

    catalogue: Collection[str] | None = None
    distinct: bool = True
    read: int = 0
    events: Counter[tuple[str, str]] = field(default_factory=Counter)
    skipped: Counter[tuple[str, str]] = field(default_factory=Counter)
    refused: dict[str, Refusals] = field(default_factory=dict)
    learners: set[str] = field(default_factory=set)
    courses: Counter[str] = field(default_factory=Counter)

    def add(self, outcome: Outcome, where: str = "") -> None:
        """Counts one outcome.

        Args:
            outcome: Of one line.
            where: Stands before the example of a refusal, such as "line 17".
        """
        self.read += 1
        if isinstance(outcome, Mapped):
            event = outcome.event
            self._count(self.events, outcome.name, event.type)
            if self.distinct:
                self.learners.add(event.user_id)
                self.courses.update((event.course_id,) if event.course_id else ())
        elif isinstance(outcome, Skipped):
            self._count(self.skipped, outcome.name, outcome.why)
        else:
            self._refuse(outcome, where)

    @property
    def sent(self) -> int:
        """Lines that became an event."""
        return self.events.total()

    @property
    def nothing_read(self) -> bool:
        """Whether there were lines, and none could be read."""
        return self.read > 0 and not self.events and not self.skipped

    @property
    def unjoined(self) -> dict[str, int] | None:
        """Courses that the catalogue lacks → their events, most first; None where no catalogue was given."""
        if self.catalogue is None:
            return None
        return {course: events for course, events in self.courses.most_common() if course not in self.catalogue}

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        unjoined = self.unjoined
        return {
            "lines": self.read,
            "events": [
                {"name": name, "type": kind, "events": number} for (name, kind), number in self.events.most_common()
            ],
            "skipped": [{"name": name, "why": why, "lines": n} for (name, why), n in self.skipped.most_common()],
            "refused": [
                {"reason": reason, "lines": found.lines, "example": found.example}
                for reason, found in self.refused.items()
            ],
            "learners": len(self.learners) if self.distinct else None,
            "courses": len(self.courses) if self.distinct else None,
            "unjoined_courses": None
            if unjoined is None
            else {"courses": len(unjoined), "most_frequent": list(unjoined)[:MOST_COURSES]},
        }

    def _count(self, counts: Counter[tuple[str, str]], name: str, what: str) -> None:
        known = (name, what) in counts or len(counts) < MOST_NAMES
        counts[name if known else OTHER_NAME, what] += 1

    def _refuse(self, outcome: Refused, where: str) -> None:
        found = self.refused.get(outcome.reason)
        if found is None:
            example = f"{where}: {outcome.example}" if where else outcome.example
            self.refused[str(outcome.reason)] = Refusals(1, example)
        else:
            found.lines += 1
