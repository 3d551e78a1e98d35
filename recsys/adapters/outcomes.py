"""What becomes of one line of a platform's output."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from recsys.errors import InvalidEvent, RefusalReason
from recsys.events import MAX_FUTURE_MS, Interaction, from_mapping

LONGEST_NAME: Final = 120
OTHER_NAME: Final = "(other)"
_NAME: Final = re.compile(r"[A-Za-z0-9_.:/#\\-]+")
_NUMERIC: Final = frozenset({RefusalReason.IN_THE_FUTURE, RefusalReason.BEFORE_2000, RefusalReason.BAD_VALUE})


@dataclass(frozen=True, slots=True)
class Mapped:
    """A line that is an interaction.

    Attributes:
        name: What the platform calls it, for the summary (`safe_name`).
        event: What is sent to the topic.
    """

    name: str
    event: Interaction


@dataclass(frozen=True, slots=True)
class Skipped:
    """A well-formed line that is no learner's signal.

    Attributes:
        name: What the platform calls it, for the summary (`safe_name`).
        why: Where the name alone does not say it, such as "no learner" or "staff"; else empty.
    """

    name: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """A line that cannot be read, or whose interaction breaks the rules of `recsys.events`.

    Attributes:
        reason: A `RefusalReason`.
        example: What was expected and where; never the line itself, which may hold personal data.
    """

    reason: RefusalReason
    example: str


Outcome: TypeAlias = Mapped | Skipped | Refused

Parse: TypeAlias = Callable[[bytes], Outcome]
"""An adapter with its rules bound: the bytes of one line to its outcome. It raises nothing."""


def mapped(name: str, fields: dict[str, Any], *, now_ms: int) -> Outcome:
    """An interaction of these fields, held to the rules that the stream holds it to.

    Args:
        name: What the platform calls it.
        fields: Fields of `Interaction` by name; those that are None are absent. The time is in ms since 1970 UTC.
        now_ms: The latest time an event may have (and 5 minutes more), ms since 1970 UTC.

    Returns:
        `Mapped`, or `Refused` with the stream's own reason: what an adapter sends never becomes a dead letter.
    """
    present = {key: value for key, value in fields.items() if value is not None}
    latest = now_ms + MAX_FUTURE_MS
    # A time within the tolerance stays what it is, so that the same bytes give the same event at any time.
    arrival_ms = present["timestamp"] if now_ms < present["timestamp"] <= latest else now_ms
    try:
        event = from_mapping(present, arrival_ms=arrival_ms)
    except InvalidEvent as error:
        return Refused(error.reason, f"{safe_name(name)}: {_without_received(error)}")
    return Mapped(safe_name(name), event)


def safe_name(name: object) -> str:
    """A platform's name of an event as the summary may show it; what looks like anything else is `OTHER_NAME`.

    Names are whatever a client sent: one with an e-mail address, blanks or a query string is not shown.
    """
    if isinstance(name, str) and len(name) <= LONGEST_NAME and _NAME.fullmatch(name):
        return name
    return OTHER_NAME


def _without_received(error: InvalidEvent) -> str:
    """The expectation alone, unless what was received is a number that the rule itself names."""
    expected, _, _ = error.detail.partition(", received")
    return expected if error.reason not in _NUMERIC else error.detail
