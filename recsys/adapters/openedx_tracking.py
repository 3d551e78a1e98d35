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

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec

from recsys.adapters.completions import Completions
from recsys.adapters.course_keys import CourseRun, course_run, run_of_block
from recsys.adapters.ids import STATE, day, quarter, semantic_id
from recsys.adapters.outcomes import Mapped, Outcome, Refused, Skipped, mapped, safe_name
from recsys.adapters.staff import Staff
from recsys.errors import RefusalReason
from recsys.nesting import nests_deeper

SOURCE: Final = "openedx"
ABOUT_PAGE: Final = "/courses/{course}/about"
OTHER_REQUEST: Final = "(request to the LMS)"
LONGEST_AGENT: Final = 256
LONGEST_VIDEO_S: Final = 1e6
MOST_USERS: Final = 2**63

_ABOUT: Final = re.compile(r"/courses/([^/?#]+(?:/[^/?#]+/[^/?#]+)?)/about/?")
_SESSION: Final = re.compile(r"[\w\-]{1,64}")
_USER_ID: Final = re.compile(r"[1-9][0-9]{0,18}")
_CLIENT_SOURCES: Final = frozenset({"browser", "mobile"})


class Rule(NamedTuple):
    """What a tracking event becomes.

    Attributes:
        kind: The event type.
        once_a: What makes two of them one, for the event id: `day`, `state`, `quarter` or `list`.
    """

    kind: str
    once_a: str


_VIEW_A_DAY: Final = Rule("view", "day")
_PLAY_A_DAY: Final = Rule("play", "day")
_COMPLETE: Final = Rule("complete", "state")
_UNCOMPLETE: Final = Rule("uncomplete", "state")
_PROGRESS: Final = Rule("progress", "quarter")
COMPLETED_BLOCK: Final = "edx.completion.block_completion.changed"
COURSE_GRADE: Final = "edx.grades.course.grade_calculated"

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
        "edx.course.enrollment.activated": Rule("enroll", "state"),
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


@dataclass(frozen=True, slots=True)
class TrackingRules:
    """What an operator decides.

    Attributes:
        now_ms: The latest time an event may have (and 5 minutes more), ms since 1970 UTC.
        staff: Whose events in which course are none of a learner's.
        completions: How many blocks the courses have, and what was completed so far.
        grades: Whether a course grade counts as progress: a poor measure, for where no completion is recorded.
        navigation: Whether steps inside a course count as a view.
    """

    now_ms: int
    staff: Staff = field(default_factory=Staff)
    completions: Completions = field(default_factory=lambda: Completions({}))
    grades: bool = False
    navigation: bool = False


class _Event(NamedTuple):
    """A tracking event whose name is in the table, as far as it is looked at."""

    name: str
    fields: Mapping[str, Any]
    context: Mapping[str, Any]
    user_id: str
    run: CourseRun
    at_ms: int


def parse_line(line: bytes, rules: TrackingRules) -> Outcome:
    """One line of `tracking.log`; a prefix of a log shipper before the first brace is passed over."""
    start = line.find(b"{")
    if start < 0:
        return Refused(RefusalReason.NOT_JSON, f"expected a JSON object, received {len(line)} bytes without one")
    found = json_object(line[start:])
    return found if isinstance(found, Refused) else tracking_outcome(found, rules)


def json_object(content: bytes) -> dict[str, Any] | Refused:
    """A JSON object; bytes that are no UTF-8 are replaced, for they stand in what is dropped. Never quotes them."""
    if nests_deeper(content):
        return Refused(RefusalReason.TOO_DEEP, "expected JSON nested at most 32 deep, received deeper")
    for text in (content, content.decode("utf-8", "replace").encode()):
        try:
            found = msgspec.json.decode(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            return found
        break
    return Refused(RefusalReason.NOT_JSON, f"expected a JSON object, received {len(content)} bytes that are none")


def tracking_outcome(line: Mapping[str, Any], rules: TrackingRules) -> Outcome:
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
    if rules.staff.has(event.user_id, event.run.course_id, event.run.org):
        return Skipped(name, "staff")
    return _MEASURED.get(name, _plain)(event, rule, rules)


def learner_id(value: object) -> str | None:
    """A user's number in Open edX as text; None for blank, and for what is no number.

    Only numbers are let through, so that no name and no address becomes a learner's id.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if 0 < value < MOST_USERS else None
    return value.strip() if isinstance(value, str) and _USER_ID.fullmatch(value.strip()) else None


def utc_ms(value: object) -> int | None:
    """An ISO 8601 time as ms since 1970 UTC, rounded down; one without a zone is UTC. None where it is none."""
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value.strip())
        return math.floor((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def _name_and_course(line: Mapping[str, Any]) -> tuple[str, str | None]:
    """The name, and the course where it stands in the name."""
    name = line.get("name") or line.get("event_type")
    if not isinstance(name, str):
        return safe_name(name), None
    if not name.startswith(("/", "http:", "https:")):
        return (name if name in RULES else safe_name(name)), None
    page = _ABOUT.fullmatch(name)
    if page is None or line.get("event_source", "server") != "server" or _object(line.get("event")).get("POST"):
        return OTHER_REQUEST, None
    return ABOUT_PAGE, page[1]


def _read(name: str, about: str | None, line: Mapping[str, Any]) -> _Event | Outcome:
    fields = _object(line["event"] if "event" in line else line.get("data"))
    context = _object(line.get("context"))
    run = _run(about, fields, context)
    if run is None:
        return Skipped(name, "no course")
    if name not in CLIENT_NAMES and _CLIENT_SOURCES & {str(line.get("event_source")), str(context.get("event_source"))}:
        return Skipped(name, "written by a client")
    given = None if name in CLIENT_NAMES else fields.get("user_id")
    given = context.get("user_id") if _is_blank(given) else given
    if _is_blank(given):
        return Skipped(name, "no learner")
    user_id = learner_id(given)
    if user_id is None:
        return Refused(RefusalReason.BAD_ID, f"{name}: expected the number of a user as user_id")
    at_ms = utc_ms(line.get("time") or line.get("timestamp"))
    if at_ms is None:
        return Refused(RefusalReason.BAD_TIMESTAMP, f"{name}: expected an ISO 8601 time as time or timestamp")
    evidence = {key: line.get(key) or context.get(key) for key in ("session", "agent")}
    return _Event(name, fields, {**context, **evidence}, user_id, run, at_ms)


def _is_blank(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _run(about: str | None, fields: Mapping[str, Any], context: Mapping[str, Any]) -> CourseRun | None:
    given = (about, fields.get("course_id"), fields.get("course_key"), context.get("course_id"))
    found = next((key for key in given if isinstance(key, str) and key), None)
    if found is not None:
        return course_run(found)
    block = fields.get("block_id")
    return run_of_block(block) if isinstance(block, str) else None


def _object(value: object) -> Mapping[str, Any]:
    """An object, or a string that holds one, as browsers and the event bus send it; else an empty one."""
    if isinstance(value, str):
        found = json_object(value.encode("utf-8", "replace"))
        return {} if isinstance(found, Refused) else found
    return value if isinstance(value, Mapping) else {}


def _plain(event: _Event, rule: Rule, rules: TrackingRules) -> Outcome:
    return _made(event, rule, rules, bucket=day(event.at_ms) if rule.once_a == "day" else STATE)


def _watched(event: _Event, rule: Rule, rules: TrackingRules) -> Outcome:
    return _made(
        event, rule, rules, bucket=day(event.at_ms), value=_number(event.fields.get("duration"), LONGEST_VIDEO_S)
    )


def _chosen(event: _Event, rule: Rule, rules: TrackingRules) -> Outcome:
    shown = event.fields.get("recommendation_id")
    if not isinstance(shown, str) or not shown:
        return Skipped(event.name, "not of a list of ours")
    return _made(event, rule, rules, bucket=shown)


def _share(field_name: str) -> Callable[[_Event, Rule, TrackingRules], Outcome]:
    def read(event: _Event, rule: Rule, rules: TrackingRules) -> Outcome:
        if event.name == COURSE_GRADE and not rules.grades:
            return Skipped(event.name, "grades are not asked for")
        share = _number(event.fields.get(field_name), 1.0)
        if share is None:
            return Refused(RefusalReason.BAD_VALUE, f"{event.name}: expected a number from 0 to 1 as {field_name}")
        return _progressed(event, rule, rules, share)

    return read


def _completed_block(event: _Event, rule: Rule, rules: TrackingRules) -> Outcome:
    block = event.fields.get("block_id")
    if _number(event.fields.get("completion"), 1.0) != 1.0 or not isinstance(block, str):
        return Skipped(event.name, "not completed")
    run_id = event.run.run_id or event.run.course_id
    blocks = rules.completions.blocks_of(run_id, event.run.course_id)
    if blocks is None:
        if not rules.completions.is_first_of_day(event.user_id, run_id, day(event.at_ms)):
            return Skipped(event.name, "more of the day")
        return _made(event, _PLAY_A_DAY, rules, bucket=day(event.at_ms))
    share = rules.completions.reached(event.user_id, run_id, block, blocks=blocks)
    return Skipped(event.name, "no further quarter") if share is None else _progressed(event, rule, rules, share)


def _progressed(event: _Event, rule: Rule, rules: TrackingRules, share: float) -> Outcome:
    reached = quarter(share)
    if reached == 0:
        return Skipped(event.name, "below a quarter")
    return _made(event, rule, rules, bucket=reached, value=share)


_MEASURED: Final[Mapping[str, Callable[[_Event, Rule, TrackingRules], Outcome]]] = MappingProxyType(
    {
        "edx.bi.user.recommendations.clicked": _chosen,
        "complete_video": _watched,
        "edx.video.completed": _watched,
        COMPLETED_BLOCK: _completed_block,
        "edx.completion_aggregator.progress.course": _share("percent"),
        COURSE_GRADE: _share("percent_grade"),
    }
)


def _number(value: object, highest: float) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= highest else None


def _made(event: _Event, rule: Rule, rules: TrackingRules, *, bucket: str | int, value: float | None = None) -> Outcome:
    session, agent = event.context.get("session"), event.context.get("agent")
    fields = {
        "event_id": semantic_id(event.user_id, event.run.course_id, rule.kind, bucket),
        "user_id": event.user_id,
        "course_id": event.run.course_id,
        "type": rule.kind,
        "timestamp": event.at_ms,
        "value": value,
        "session_id": session if isinstance(session, str) and _SESSION.fullmatch(session) else None,
        "user_agent": agent[:LONGEST_AGENT] if isinstance(agent, str) and agent else None,
        "run_id": event.run.run_id,
        "tenant": event.run.org,
        "source": SOURCE,
    }
    outcome = mapped(event.name, fields, now_ms=rules.now_ms)
    return Mapped(event.name, outcome.event) if isinstance(outcome, Mapped) else outcome
