"""What the fold of records gives: which records changed and what else follows, for projections to write down."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import chain

import msgspec

from recsys.events import Interaction
from recsys.handed_on import HandedOn
from recsys.record import Record

Event = Interaction | HandedOn
"""What a partition's log holds for its learners: events, and what merges hand on."""

ACCEPTED, UNCHANGED, REROUTED = "accepted", "unchanged", "rerouted"


@dataclass(frozen=True, slots=True)
class Merged:
    """That a learner was merged into another; of two the larger holds.

    Attributes:
        at_ms: The time of the merge, ms since 1970 UTC.
        into: The other learner.
    """

    at_ms: int
    into: str

    def packed(self) -> bytes:
        """As the online store keeps it."""
        return f"{self.at_ms} {self.into}".encode()


class Change(msgspec.Struct, frozen=True, gc=False):
    """A record that changed. One for nearly every event: it holds no containers, so the collector leaves it alone.

    Attributes:
        course: The course.
        was: The record before.
        now: The record after; it differs.
        engagement: Of the record after.
    """

    course: str
    was: Record
    now: Record
    engagement: float


@dataclass(slots=True)
class RecordChanges:
    """What a batch does to records.

    Attributes:
        outcomes: Outcome → events.
        by_learner: Learner → their records that changed, at least one.
        gone: Learners whose last record went.
        forgotten: Learners who were erased or merged, and whether they have records, newer ones, nevertheless.
        erased: Learner → the time of the erasure, ms since 1970 UTC, where it is new.
        merged: Learner → the merge that holds now, where that is new; None where it was undone.
        seen: The events that are the learner's own and newer than their erasure, in order; an event without a course
            among them says that its learner was forgotten there.
        handed_on: What goes to other learners.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    by_learner: dict[str, list[Change]] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    forgotten: dict[str, bool] = field(default_factory=dict)
    erased: dict[str, int] = field(default_factory=dict)
    merged: dict[str, Merged | None] = field(default_factory=dict)
    seen: list[Event] = field(default_factory=list)
    handed_on: list[HandedOn] = field(default_factory=list)

    @property
    def pairs(self) -> list[Change]:
        """Every record that changed."""
        return [*chain.from_iterable(self.by_learner.values())]
