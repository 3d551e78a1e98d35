"""The vocabulary of events: what each type is, which state it enters or leaves, and what it weighs.

This table is the only place that says so; the weights' settings, the record's fold and the documentation follow it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Kind(StrEnum):
    """How an event of a type is folded into the record of a learner and a course (`recsys.record`)."""

    FLOW = "flow"
    """Something that happens again and again; counts once for each bucket of time."""

    STATE = "state"
    """Enters a state that holds until the opposite, or reaches a quarter of progress."""

    OPPOSITE = "opposite"
    """Leaves the state that its counterpart entered."""

    CONTROL = "control"
    """About a learner and no course: erases or merges."""


PROGRESS = "progress"
"""The state that is only ever reached, never left."""


@dataclass(frozen=True, slots=True)
class EventKind:
    """One row of the vocabulary.

    Attributes:
        kind: How it is folded.
        state: The state entered or left; None for flows and control events.
        weight: Default weight, undecayed. `progress` is multiplied by the quarters reached (0 … 4), `rate` by
            `value − 3` (−2 … 2); that of an opposite counts while the state is left.
    """

    kind: Kind
    state: str | None = None
    weight: float = 0.0


VOCABULARY: Mapping[str, EventKind] = MappingProxyType(
    {
        "view": EventKind(Kind.FLOW, weight=1.0),
        "click": EventKind(Kind.FLOW, weight=5.0),
        "play": EventKind(Kind.FLOW, weight=2.0),
        "progress": EventKind(Kind.STATE, PROGRESS, weight=2.0),
        "bookmark": EventKind(Kind.STATE, "bookmark", weight=4.0),
        "enroll": EventKind(Kind.STATE, "enroll", weight=10.0),
        "complete": EventKind(Kind.STATE, "complete", weight=12.0),
        "rate": EventKind(Kind.STATE, "rate", weight=3.0),
        "dismiss": EventKind(Kind.STATE, "dismiss", weight=-5.0),
        "unbookmark": EventKind(Kind.OPPOSITE, "bookmark"),
        "unenroll": EventKind(Kind.OPPOSITE, "enroll", weight=-10.0),
        "uncomplete": EventKind(Kind.OPPOSITE, "complete"),
        "unrate": EventKind(Kind.OPPOSITE, "rate"),
        "undismiss": EventKind(Kind.OPPOSITE, "dismiss"),
        "merge": EventKind(Kind.CONTROL),
        "erase": EventKind(Kind.CONTROL),
    }
)
"""Every type of event, in the order of `recsys.events.EventType`."""

FLOWS = tuple(name for name, row in VOCABULARY.items() if row.kind is Kind.FLOW)
"""view, click, play: of entries in one bucket, the later in this order are kept first."""

REGISTERS = tuple(name for name, row in VOCABULARY.items() if row.kind is Kind.STATE and name != PROGRESS)
"""The states with an opposite: one register each."""

CONTROL = tuple(name for name, row in VOCABULARY.items() if row.kind is Kind.CONTROL)
"""Types that name no course."""

DEFAULT_WEIGHTS: Mapping[str, float] = MappingProxyType(
    {name: row.weight for name, row in VOCABULARY.items() if name not in CONTROL}
)
"""Weight of each type that says something about a course."""
