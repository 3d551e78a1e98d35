"""A statement as JSON: reaching into it, and why it becomes no event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recsys.adapters.outcomes import Outcome, Refused
from recsys.errors import RefusalReason


class NoEvent(Exception):
    """A statement becomes no event.

    Attributes:
        outcome: `Skipped` or `Refused`.
    """

    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self.outcome = outcome


def inner(parent: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """An object inside an object, by a path of names; empty where there is none."""
    found: Any = parent
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def refused(reason: RefusalReason, example: str) -> NoEvent:
    """A statement that is refused, with what was expected of it."""
    return NoEvent(Refused(reason, example))
