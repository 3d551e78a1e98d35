"""What a statement says, field by field: its meaning, the course, the time, the value. Pure; `xapi` puts them together.

The course is the object, or where the object is a part of it, the first course among `context.contextActivities` parent
and grouping. Who it is about is `xapi_actor`'s.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

from recsys.adapters import ids
from recsys.adapters.completions import Completions
from recsys.adapters.outcomes import Skipped, safe_name
from recsys.adapters.staff import Staff
from recsys.adapters.xapi_courses import Course, course_named
from recsys.adapters.xapi_statement import NoEvent, inner, refused
from recsys.adapters.xapi_types import (
    COMPLETED,
    COMPLETING,
    MEANINGS,
    PROGRESS,
    SESSION,
    THINGS,
    VIDEO_LENGTH,
    Meaning,
    Thing,
    Value,
)
from recsys.errors import RefusalReason
from recsys.events import MAX_ID_CHARS
from recsys.vocabulary import FLOWS
from recsys.vocabulary import PROGRESS as PROGRESS_STATE

_SESSION: Final = re.compile(r"[\w\-]{1,64}")
_WHOLE: Final = 100
_LARGEST: Final = 1e6
"""No percentage, score or length in seconds is as large: beyond it a value is refused by its type's own bound."""


@dataclass(frozen=True, slots=True)
class XapiRules:
    """How a deployment reads statements.

    Attributes:
        home_pages: `actor.account.homePage`, without a slash at its end → what is put before `actor.account.name`, ""
            for nothing, so that learner 7 of one platform is not learner 7 of another. Empty: any home page, and the
            name alone. Otherwise an account of a home page that is not listed is refused.
        staff: What they do in their courses is no learner's signal.
        completions: Parts per course, to turn completed parts into progress; of a course it does not know, the first
            of a day is a `play`, and the others are skipped: a platform that completes a hundred parts at once would
            make its learner look like a bot. None: each is a `play`, and nothing is remembered of it.
    """

    home_pages: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    staff: Staff = field(default_factory=Staff)
    completions: Completions | None = None


def meaning_of(statement: Mapping[str, Any], verb: str) -> tuple[Meaning, Thing]:
    """What the statement becomes, and the kind of its object.

    Raises:
        NoEvent: The verb says nothing about an object of that kind.
    """
    about = inner(statement, "object")
    if about.get("objectType", "Activity") != "Activity":
        raise NoEvent(Skipped(safe_name(verb), "its object is no activity"))
    thing = THINGS.get(_type_of(about), Thing.OTHER)
    meaning = MEANINGS.get((verb, thing))
    if meaning is None:
        raise NoEvent(Skipped(safe_name(verb), f"on {thing}"))
    if verb == COMPLETED and inner(statement, "result").get("completion") is False:
        raise NoEvent(Skipped(safe_name(verb), "not complete"))
    return meaning, thing


def course_of(statement: Mapping[str, Any], verb: str, thing: Thing) -> Course:
    """The course, which is the object or holds it.

    Raises:
        NoEvent: There is none.
    """
    about = inner(statement, "object")
    found = course_named(about.get("id"), known=thing is Thing.COURSE)
    if thing is not Thing.COURSE:
        around = (
            course_named(activity.get("id"), known=THINGS.get(_type_of(activity)) is Thing.COURSE)
            for activity in _around(statement)
        )
        found = next((course for course in around if course is not None), found)
    if found is None:
        raise NoEvent(Skipped(safe_name(verb), "no course"))
    return found


def time_of(statement: Mapping[str, Any], verb: str, received_ms: int | None) -> int:
    """When it happened, ms since 1970 UTC: `timestamp`, else `stored`, else when it came; without a zone it is UTC.

    Raises:
        NoEvent: There is no time, or one that cannot be read.
    """
    text = statement.get("timestamp") or statement.get("stored")
    if text is None and received_ms is not None:
        return received_ms
    try:
        at = datetime.fromisoformat(text if isinstance(text, str) else "")
        return math.floor((at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise refused(
            RefusalReason.BAD_TIMESTAMP, f"{safe_name(verb)}: expected timestamp or stored in ISO 8601"
        ) from None


def value_of(statement: Mapping[str, Any], verb: str, meaning: Meaning) -> float | None:
    """The event's value; None where its type has none.

    Raises:
        NoEvent: Its type has one, and the statement does not say it.
    """
    if meaning.value is Value.NONE:
        return None
    if meaning.value is Value.LENGTH:
        length = _number(inner(statement, "context", "extensions").get(VIDEO_LENGTH))
        return length if length is not None and 0 <= length < _LARGEST else None
    if meaning.value is Value.PROGRESS:
        percent = _number(inner(statement, "result", "extensions").get(PROGRESS))
        value = None if percent is None else percent / 100
    else:
        scaled = _number(inner(statement, "result", "score").get("scaled"))
        value = scaled if scaled is None or meaning.value is Value.SCORE else 1 + 4 * scaled
    if value is None:
        raise NoEvent(Skipped(safe_name(verb), f"no {meaning.value}"))
    return value


def session_of(statement: Mapping[str, Any]) -> str | None:
    """The session that Open edX names; None for anything else."""
    session = inner(statement, "context", "extensions").get(SESSION)
    return session if isinstance(session, str) and _SESSION.fullmatch(session) else None


def part_progress(
    statement: Mapping[str, Any], verb: str, learner: str, course: Course, *, completions: Completions, at_ms: int
) -> float | None:
    """The share of the course that is complete with this part; None where nobody said how many parts there are.

    Raises:
        NoEvent: The part is not complete, completing it reaches no further quarter, or a part of that day came before.
    """
    run_id = course.run_id or course.course_id
    parts = completions.blocks_of(run_id, course.course_id)
    if verb not in COMPLETING:
        return None
    if parts is None:
        if not completions.is_first_of_day(learner, run_id, ids.day(at_ms)):
            raise NoEvent(Skipped(safe_name(verb), "more of the day"))
        return None
    percent = _number(inner(statement, "result", "extensions").get(PROGRESS))
    if verb != COMPLETED and percent is not None and percent < _WHOLE:
        raise NoEvent(Skipped(safe_name(verb), "not complete"))
    part = str(inner(statement, "object").get("id"))
    share = completions.reached(learner, run_id, part, blocks=parts)
    if share is None:
        raise NoEvent(Skipped(safe_name(verb), "no further quarter"))
    return share


def event_id_of(
    statement: Mapping[str, Any], learner: str, course_id: str, kind: str, *, at_ms: int, value: float | None
) -> str:
    """The statement's own id for a state; for what comes in floods, what happened, so that a flood has one id."""
    if kind in FLOWS:
        return ids.semantic_id(learner, course_id, kind, ids.day(at_ms))
    if kind == PROGRESS_STATE and value is not None:
        return ids.semantic_id(learner, course_id, kind, ids.quarter(value))
    own = statement.get("id")
    if isinstance(own, str) and 0 < len(own) <= MAX_ID_CHARS and own.isprintable():
        return own
    return ids.semantic_id(learner, course_id, kind, ids.STATE)


def _type_of(activity: Mapping[str, Any]) -> str:
    found = inner(activity, "definition").get("type")
    return found if isinstance(found, str) else ""


def _around(statement: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The activities that hold the object, the nearest first; 1.0 allows one in place of a list of one."""
    context = inner(statement, "context", "contextActivities")
    for name in ("parent", "grouping"):
        given = context.get(name)
        for activity in given if isinstance(given, list) else [given]:
            if isinstance(activity, dict):
                yield activity


def _number(value: Any) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(max(-_LARGEST, min(_LARGEST, value)))  # JSON's integers may be beyond every float
