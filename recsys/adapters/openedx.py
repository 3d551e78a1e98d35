"""What Open edX's tracking logs and its event bus share: whose event it is, in which run, and how it is sent on."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from recsys.adapters.completions import Completions
from recsys.adapters.course_keys import CourseRun
from recsys.adapters.ids import STATE, day, quarter, semantic_id
from recsys.adapters.outcomes import Mapped, Outcome, Skipped, mapped
from recsys.adapters.staff import Staff

SOURCE: Final = "openedx"
LONGEST_AGENT: Final = 256
LONGEST_TENANT: Final = 128
MOST_USERS: Final = 2**63
BY_SOMEBODY_ELSE: Final = " (by another user)"
"""Stands after the name of an enrolment that is not of the learner's own making: it is one, and no preference."""

_SESSION: Final = re.compile(r"[\w\-]{1,64}")
_USER_ID: Final = re.compile(r"[1-9][0-9]{0,18}")


class Rule(NamedTuple):
    """What a tracking event becomes.

    Attributes:
        kind: The event type.
        once_a: What makes two of them one, for the event id: `day`, `state`, `quarter` or `list`.
    """

    kind: str
    once_a: str


@dataclass(frozen=True, slots=True)
class OpenEdxRules:
    """What an operator decides.

    Attributes:
        now_ms: Gives the latest time an event may have (and 5 minutes more), ms since 1970 UTC.
        staff: Whose events in which course are none of a learner's.
        completions: How many blocks the courses have, and what was completed so far.
        grades: Whether a course grade counts as progress: a poor measure, for where no completion is recorded.
        navigation: Whether steps inside a course count as a view.
    """

    now_ms: Callable[[], int]
    staff: Staff = field(default_factory=Staff)
    completions: Completions = field(default_factory=lambda: Completions({}))
    grades: bool = False
    navigation: bool = False


class Happening(NamedTuple):
    """Something that a learner did, or that was done to them, in a run of a course.

    Attributes:
        name: What Open edX calls it.
        user_id: The learner.
        run: The course and its run.
        at_ms: When, ms since 1970 UTC.
        session: Open edX's session, or whatever stood in its place.
        agent: The user agent, or whatever stood in its place.
    """

    name: str
    user_id: str
    run: CourseRun
    at_ms: int
    session: object = None
    agent: object = None


def learner_id(value: object) -> str | None:
    """A user's number in Open edX as text; None for blank, and for what is no number.

    Only numbers are let through, so that no name and no address becomes a learner's id.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if 0 < value < MOST_USERS else None
    return value.strip() if isinstance(value, str) and _USER_ID.fullmatch(value.strip()) else None


def is_staff(found: Happening, rules: OpenEdxRules) -> bool:
    """Whether the learner has a role in the course."""
    return rules.staff.has(found.user_id, found.run.course_id, found.run.org)


def once(found: Happening, rule: Rule, rules: OpenEdxRules) -> Outcome:
    """An event that is one a UTC day, or one for ever."""
    return made(found, rule.kind, rules, bucket=day(found.at_ms) if rule.once_a == "day" else STATE)


def progressed(found: Happening, rules: OpenEdxRules, share: float) -> Outcome:
    """A progress of 0..1: an event for each quarter reached, none below the first."""
    reached = quarter(share)
    if reached == 0:
        return Skipped(found.name, "below a quarter")
    return made(found, "progress", rules, bucket=reached, value=share)


def made(found: Happening, kind: str, rules: OpenEdxRules, *, bucket: str | int, value: float | None = None) -> Outcome:
    """The event.

    Args:
        found: What happened.
        kind: The event type.
        rules: What the operator decided.
        bucket: What makes two of them one (`ids.semantic_id`).
        value: Of the event.
    """
    fields = {
        "event_id": semantic_id(found.user_id, found.run.course_id, kind, bucket),
        "user_id": found.user_id,
        "course_id": found.run.course_id,
        "type": kind,
        "timestamp": found.at_ms,
        "value": value,
        "session_id": found.session if isinstance(found.session, str) and _SESSION.fullmatch(found.session) else None,
        "user_agent": found.agent[:LONGEST_AGENT] if isinstance(found.agent, str) and found.agent else None,
        "run_id": found.run.run_id,
        "tenant": found.run.org if len(found.run.org) <= LONGEST_TENANT else None,
        "source": SOURCE,
    }
    outcome = mapped(found.name, fields, now_ms=rules.now_ms())
    return Mapped(found.name, outcome.event) if isinstance(outcome, Mapped) else outcome
