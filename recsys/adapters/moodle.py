"""Rows of Moodle's `mdl_logstore_standard_log` to interactions: an export as CSV, or as JSON, one row a line.

Whom an event is about depends on the event: `userid` is who acted, which for an enrolment or a completion is a teacher
or the scheduler, and `relateduserid` is the learner. Times are whole seconds. `ip` and `other` go no further.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import msgspec

from recsys.adapters import ids
from recsys.adapters.completions import Completions
from recsys.adapters.outcomes import Outcome, Refused, Skipped, mapped, safe_name
from recsys.adapters.staff import Staff
from recsys.errors import RefusalReason
from recsys.nesting import MAX_DEPTH, nests_deeper
from recsys.vocabulary import FLOWS, PROGRESS

SOURCE: Final = "moodle"
SITE: Final = "1"
"""The course number of the front page."""

GUEST: Final = "1"
"""The user number under which Moodle logs whoever is not logged in."""

_ABSENT: Final = frozenset({"", "0", "NULL", "null", "\\N", "None"})
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,18}")
_SECONDS: Final = re.compile(r"\d{1,12}(\.0*)?")
_STATUS: Final = re.compile(r'"status";(?:s:\d+:"|i:)(\d+)')
"""In PHP's serialization, in which Moodle before 3.7 wrote `other`."""

_MODULE_VIEWED: Final = re.compile(r"mod_\w+\\event\\course_module_viewed")


@dataclass(frozen=True, slots=True)
class _Meaning:
    """What an event becomes: its type, and whether it is about `relateduserid` rather than `userid`."""

    kind: str
    is_about_another: bool = False


_MEANINGS: Final = MappingProxyType(
    {
        "core\\event\\user_enrolment_created": _Meaning("enroll", is_about_another=True),
        "core\\event\\user_enrolment_updated": _Meaning("enroll", is_about_another=True),
        "core\\event\\user_enrolment_deleted": _Meaning("unenroll", is_about_another=True),
        "core\\event\\course_completed": _Meaning("complete", is_about_another=True),
        "core\\event\\badge_awarded": _Meaning("complete", is_about_another=True),
        "core\\event\\course_module_completion_updated": _Meaning("play", is_about_another=True),
        "core\\event\\course_information_viewed": _Meaning("view"),
        "core\\event\\course_viewed": _Meaning("view"),
    }
)
_UPDATED: Final = "core\\event\\user_enrolment_updated"
_MODULE_COMPLETION: Final = "core\\event\\course_module_completion_updated"


@dataclass(frozen=True, slots=True)
class MoodleRules:
    """How rows are read.

    Attributes:
        now_ms: Gives the latest time an event may have (and 5 minutes more), ms since 1970 UTC.
        staff: What they do in their courses is no learner's signal.
        completions: Modules per course, to turn completed modules into progress; of a course it does not know, the
            first of a day is a `play`, and the others are skipped: the scheduler completes a hundred modules at once,
            which would make the learner look like a bot.
    """

    now_ms: Callable[[], int]
    staff: Staff = field(default_factory=Staff)
    completions: Completions = field(default_factory=lambda: Completions({}))


class _NoEvent(Exception):
    """A row becomes no event."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self.outcome = outcome


def parse_row(content: bytes, rules: MoodleRules) -> Outcome:
    """The outcome of one row.

    Args:
        content: The row as a JSON object of column → text, number or null (`moodle_rows.row_lines` makes it of CSV).
        rules: How it is read.
    """
    if nests_deeper(content):
        return Refused(RefusalReason.TOO_DEEP, f"expected a row nested at most {MAX_DEPTH} deep")
    try:
        row = msgspec.json.decode(content)
    except (ValueError, RecursionError):
        return Refused(
            RefusalReason.NOT_JSON, "expected a row as JSON, or as CSV under a header that names eventname and the like"
        )
    if not isinstance(row, dict):
        return Refused(RefusalReason.SCHEMA, f"expected a row as a JSON object, received {type(row).__name__}")
    try:
        return _event(row, rules)
    except _NoEvent as none:
        return none.outcome


def _event(row: Mapping[str, Any], rules: MoodleRules) -> Outcome:
    name = _name(row)
    meaning = _Meaning("play") if _MODULE_VIEWED.fullmatch(name) else _MEANINGS.get(name)
    if meaning is None:
        raise _skip(name)
    kind = _kind(row, name, meaning.kind)
    learner, course = _learner(row, name, meaning), _course(row, name)
    if rules.staff.has(learner, course):
        raise _skip(name, "staff")
    at_ms = _time_ms(row, name)
    value = _share(row, name, learner, course, completions=rules.completions, at_ms=at_ms)
    kind = kind if value is None else PROGRESS
    fields = {
        "event_id": ids.semantic_id(learner, course, kind, _bucket(kind, at_ms, value)),
        "user_id": learner,
        "course_id": course,
        "type": kind,
        "timestamp": at_ms,
        "value": value,
        "source": SOURCE,
    }
    return mapped(name, fields, now_ms=rules.now_ms())


def _share(
    row: Mapping[str, Any], name: str, learner: str, course: str, *, completions: Completions, at_ms: int
) -> float | None:
    """The share of the course that is complete with a completed module; None for another event, and where unknown."""
    if name != _MODULE_COMPLETION:
        return None
    modules = completions.blocks_of(course, course)
    if modules is None:
        if not completions.is_first_of_day(learner, course, ids.day(at_ms)):
            raise _skip(name, "more of the day")
        return None
    share = completions.reached(learner, course, _module(row), blocks=modules)
    if share is None:
        raise _skip(name, "no further quarter")
    return share


def _name(row: Mapping[str, Any]) -> str:
    """The event's name without the backslash before it; some exports double every backslash."""
    name = row.get("eventname")
    if not isinstance(name, str) or not name:
        raise _NoEvent(Refused(RefusalReason.SCHEMA, "expected the column eventname as text"))
    return name.replace("\\\\", "\\").removeprefix("\\")


def _kind(row: Mapping[str, Any], name: str, kind: str) -> str:
    """The event's type, once what the row says beside its name is looked at.

    Raises:
        _NoEvent: The row is nothing that the learner did.
    """
    if _text(row, "anonymous"):
        raise _skip(name, "anonymous")
    if _text(row, "realuserid"):
        raise _skip(name, "another logged in as the learner")
    if kind in FLOWS and name != _MODULE_COMPLETION and _text(row, "origin") == "cli":
        raise _skip(name, "origin cli")
    if name == _UPDATED:
        status = _other(row, "status")
        if status not in {"0", "1"}:
            raise _skip(name, "status not said")
        return "enroll" if status == "0" else "unenroll"
    if name == _MODULE_COMPLETION and _other(row, "completionstate") == "0":
        raise _skip(name, "not complete")
    return kind


def _learner(row: Mapping[str, Any], name: str, meaning: _Meaning) -> str:
    column = "relateduserid" if meaning.is_about_another else "userid"
    learner = _text(row, column).removesuffix(".0")
    if not learner or learner.startswith("-"):
        raise _skip(name, "no learner")
    if learner == GUEST:
        raise _skip(name, "guest")
    if not _NUMBER.fullmatch(learner):
        raise _NoEvent(Refused(RefusalReason.BAD_ID, f"{safe_name(name)}: expected {column} as a whole number"))
    return learner


def _course(row: Mapping[str, Any], name: str) -> str:
    course = _text(row, "courseid").removesuffix(".0")
    if course in {"", SITE}:
        raise _skip(name, "no course")
    if not _NUMBER.fullmatch(course):
        raise _NoEvent(Refused(RefusalReason.BAD_ID, f"{safe_name(name)}: expected courseid as a whole number"))
    return course


def _time_ms(row: Mapping[str, Any], name: str) -> int:
    seconds = _text(row, "timecreated")
    if not _SECONDS.fullmatch(seconds):
        raise _NoEvent(
            Refused(RefusalReason.BAD_TIMESTAMP, f"{safe_name(name)}: expected timecreated in seconds since 1970 UTC")
        )
    return int(seconds.partition(".")[0]) * 1000


def _bucket(kind: str, at_ms: int, value: float | None) -> str | int:
    if value is not None:
        return ids.quarter(value)
    return ids.day(at_ms) if kind in FLOWS else ids.STATE


def _module(row: Mapping[str, Any]) -> str:
    return _text(row, "contextinstanceid") or _text(row, "contextid") or _text(row, "objectid")


def _text(row: Mapping[str, Any], column: str) -> str:
    """A cell as text, "" where it is absent, null or nought."""
    value = row.get(column)
    if value is None or isinstance(value, bool | dict | list):
        return ""
    text = str(value).strip()
    return "" if text in _ABSENT else text


def _other(row: Mapping[str, Any], key: str) -> str:
    """A value in the column `other`: JSON, or PHP's serialization for `status`; "" where it is not said."""
    other = row.get("other")
    if isinstance(other, str):
        try:
            other = msgspec.json.decode(other)
        except (ValueError, RecursionError):
            found = _STATUS.search(str(row["other"])) if key == "status" else None
            return found[1] if found else ""
    value = other.get(key) if isinstance(other, dict) else None
    return str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""


def _skip(name: str, why: str = "") -> _NoEvent:
    return _NoEvent(Skipped(safe_name(name), why))
