"""Open edX's tracking events: which of them are a learner's signal, and as what. `RULES` is the table.

The same events come as lines of `tracking.log` (`parse_line`) and over the event bus (`recsys.adapters.openedx_bus`).
Format: docs.openedx.org, "Events in the Tracking Logs"; names: openedx/event-routing-backends.

What the table does not name is skipped by its name. The learner is who the event is about (`event.user_id`: an
instructor may enrol somebody). But any browser may post an event of any name with any content: what clients send
(`CLIENT_NAMES`) is about the one who was logged in (`context.user_id`), and a certificate or an enrolment that a
client wrote is none. Every request to the LMS is logged, under its path: only that of a course's about
page counts, and no other path is ever shown, because a path may hold a name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from recsys.adapters.course_keys import CourseRun, course_run, run_of_block
from recsys.adapters.fields import is_blank, json_object, number, object_in, utc_ms
from recsys.adapters.ids import day
from recsys.adapters.openedx import (
    BY_SOMEBODY_ELSE,
    Happening,
    OpenEdxRules,
    Rule,
    is_staff,
    learner_id,
    made,
    once,
    progressed,
)
from recsys.adapters.outcomes import Outcome, Refused, Skipped, safe_name
from recsys.errors import RefusalReason

ABOUT_PAGE: Final = "/courses/{course}/about"
OTHER_REQUEST: Final = "(request to the LMS)"
LONGEST_VIDEO_S: Final = 1e6

_ABOUT: Final = re.compile(r"/courses/([^/?#]+(?:/[^/?#]+/[^/?#]+)?)/about/?")
_CLIENT_SOURCES: Final = frozenset({"browser", "mobile"})
_VIEW_A_DAY: Final = Rule("view", "day")
_PLAY_A_DAY: Final = Rule("play", "day")
_COMPLETE: Final = Rule("complete", "state")
_UNCOMPLETE: Final = Rule("uncomplete", "state")
_PROGRESS: Final = Rule("progress", "quarter")
COMPLETED_BLOCK: Final = "edx.completion.block_completion.changed"
COURSE_GRADE: Final = "edx.grades.course.grade_calculated"
ENROLLED: Final = "edx.course.enrollment.activated"

RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        ABOUT_PAGE: _VIEW_A_DAY,
        "edx.bi.user.recommendations.clicked": Rule("click", "list"),
        "edx.course.enrollment.upgrade.clicked": Rule("click", "day"),
        "play_video": _PLAY_A_DAY,
        "edx.video.played": _PLAY_A_DAY,
        "complete_video": _PLAY_A_DAY,
        "edx.video.completed": _PLAY_A_DAY,
        COMPLETED_BLOCK: _PROGRESS,
        "edx.completion_aggregator.progress.course": _PROGRESS,
        COURSE_GRADE: _PROGRESS,
        "edx.bookmark.added": Rule("bookmark", "state"),
        "edx.bookmark.removed": Rule("unbookmark", "state"),
        ENROLLED: Rule("enroll", "state"),
        "edx.course.enrollment.deactivated": Rule("unenroll", "state"),
        "edx.course.grade.passed.first_time": _COMPLETE,
        "edx.course.grade.now_passed": _COMPLETE,
        "edx.course.grade.now_failed": _UNCOMPLETE,
        "edx.course.completed": _COMPLETE,
        "edx.certificate.created": _COMPLETE,
        "edx.certificate.revoked": _UNCOMPLETE,
    }
)
"""Name of a tracking event (`name`, else `event_type`) → what it becomes."""

NAVIGATION: Final = frozenset(
    {
        "edx.ui.lms.outline.selected",
        "edx.ui.lms.sequence.outline.selected",
        "edx.ui.lms.link_clicked",
        "edx.bookmark.accessed",
    }
)
"""Enrolled learners on their way through a course: a `view` a day where it is asked for, else skipped."""


CLIENT_NAMES: Final = NAVIGATION | {
    ABOUT_PAGE,
    "edx.bi.user.recommendations.clicked",
    "edx.course.enrollment.upgrade.clicked",
    "play_video",
    "edx.video.played",
    "complete_video",
    "edx.video.completed",
}
"""What a browser or an app says of the one who is logged in; the other names are a server's to write."""


class _Event(NamedTuple):
    """A tracking event whose name is in the table: what happened, and the fields that say how much."""

    found: Happening
    fields: Mapping[str, Any]


def parse_line(line: bytes, rules: OpenEdxRules) -> Outcome:
    """One line of `tracking.log`; a prefix of a log shipper before the first brace is passed over."""
    start = line.find(b"{")
    if start < 0:
        return Refused(RefusalReason.NOT_JSON, f"expected a JSON object, received {len(line)} bytes without one")
    found = json_object(line[start:])
    return found if isinstance(found, Refused) else tracking_outcome(found, rules)


def tracking_outcome(line: Mapping[str, Any], rules: OpenEdxRules) -> Outcome:
    """One tracking event, decoded.

    Args:
        line: As the log has it (`event`, `time`) or as event-tracking passes it on (`data`, `timestamp`).
        rules: What the operator decided; its `completions` learn from the event.
    """
    name, about = _name_and_course(line)
    rule = RULES.get(name)
    if rule is None and name in NAVIGATION and rules.navigation:
        rule = _VIEW_A_DAY
    if rule is None:
        return Skipped(name)
    event = _read(name, about, line)
    if not isinstance(event, _Event):
        return event
    if is_staff(event.found, rules):
        return Skipped(name, "staff")
    measured = _MEASURED.get(name)
    return once(event.found, rule, rules) if measured is None else measured(event, rule, rules)


def _name_and_course(line: Mapping[str, Any]) -> tuple[str, str | None]:
    """The name, and the course where it stands in the name."""
    name = line.get("name") or line.get("event_type")
    if not isinstance(name, str):
        return safe_name(name), None
    if not name.startswith(("/", "http:", "https:")):
        return (name if name in RULES else safe_name(name)), None
    page = _ABOUT.fullmatch(name)
    if page is None or line.get("event_source", "server") != "server" or object_in(line.get("event")).get("POST"):
        return OTHER_REQUEST, None
    return ABOUT_PAGE, page[1]


def _read(name: str, about: str | None, line: Mapping[str, Any]) -> _Event | Outcome:
    fields = object_in(line["event"] if "event" in line else line.get("data"))
    context = object_in(line.get("context"))
    run = _run(about, fields, context)
    if run is None:
        return Skipped(name, "no course")
    if name not in CLIENT_NAMES and _CLIENT_SOURCES & {str(line.get("event_source")), str(context.get("event_source"))}:
        return Skipped(name, "written by a client")
    given = None if name in CLIENT_NAMES else fields.get("user_id")
    given = context.get("user_id") if is_blank(given) else given
    if is_blank(given):
        return Skipped(name, "no learner")
    user_id = learner_id(given)
    if user_id is None:
        return Refused(RefusalReason.BAD_ID, f"{name}: expected the number of a user as user_id")
    at_ms = utc_ms(line.get("time") or line.get("timestamp"))
    if at_ms is None:
        return Refused(RefusalReason.BAD_TIMESTAMP, f"{name}: expected an ISO 8601 time as time or timestamp")
    session, agent = (line.get(key) or context.get(key) for key in ("session", "agent"))
    by_somebody_else = name == ENROLLED and learner_id(context.get("user_id")) not in {user_id, None}
    shown = name + BY_SOMEBODY_ELSE if by_somebody_else else name
    return _Event(Happening(shown, user_id, run, at_ms, session, agent), fields)


def _run(about: str | None, fields: Mapping[str, Any], context: Mapping[str, Any]) -> CourseRun | None:
    given = (about, fields.get("course_id"), fields.get("course_key"), context.get("course_id"))
    found = next((key for key in given if isinstance(key, str) and key), None)
    if found is not None:
        return course_run(found)
    block = fields.get("block_id")
    return run_of_block(block) if isinstance(block, str) else None


def _watched(event: _Event, rule: Rule, rules: OpenEdxRules) -> Outcome:
    seconds = number(event.fields.get("duration"), LONGEST_VIDEO_S)
    return made(event.found, rule.kind, rules, bucket=day(event.found.at_ms), value=seconds)


def _chosen(event: _Event, rule: Rule, rules: OpenEdxRules) -> Outcome:
    shown = event.fields.get("recommendation_id")
    if not isinstance(shown, str) or not shown:
        return Skipped(event.found.name, "not of a list of ours")
    return made(event.found, rule.kind, rules, bucket=shown)


def _share(field_name: str) -> Callable[[_Event, Rule, OpenEdxRules], Outcome]:
    def read(event: _Event, _: Rule, rules: OpenEdxRules) -> Outcome:
        name = event.found.name
        if name == COURSE_GRADE and not rules.grades:
            return Skipped(name, "grades are not asked for")
        share = number(event.fields.get(field_name), 1.0)
        if share is None:
            return Refused(RefusalReason.BAD_VALUE, f"{name}: expected a number from 0 to 1 as {field_name}")
        return progressed(event.found, rules, share)

    return read


def _completed_block(event: _Event, _: Rule, rules: OpenEdxRules) -> Outcome:
    found, block = event.found, event.fields.get("block_id")
    if number(event.fields.get("completion"), 1.0) != 1.0 or not isinstance(block, str):
        return Skipped(found.name, "not completed")
    run_id = found.run.run_id or found.run.course_id
    blocks = rules.completions.blocks_of(run_id, found.run.course_id)
    if blocks is None:
        if not rules.completions.is_first_of_day(found.user_id, run_id, day(found.at_ms)):
            return Skipped(found.name, "more of the day")
        return once(found, _PLAY_A_DAY, rules)
    share = rules.completions.reached(found.user_id, run_id, block, blocks=blocks)
    return Skipped(found.name, "no further quarter") if share is None else progressed(found, rules, share)


_MEASURED: Final[Mapping[str, Callable[[_Event, Rule, OpenEdxRules], Outcome]]] = MappingProxyType(
    {
        "edx.bi.user.recommendations.clicked": _chosen,
        "complete_video": _watched,
        "edx.video.completed": _watched,
        COMPLETED_BLOCK: _completed_block,
        "edx.completion_aggregator.progress.course": _share("percent"),
        COURSE_GRADE: _share("percent_grade"),
    }
)
