"""Open edX's event bus: which of its events are a learner's signal, and as what. `MEANINGS` is the table.

An event comes decoded (Avro or JSON, `infra.ingest.bus`); the bus keys it by course, doubles it under other ids and may
send it before the database has it (openedx-events, ADRs 9, 15 and 16), none of which harms a record. A role in a course
goes into the staff list. Of a user only the number is looked at; what stands in `pii` is not.
Payloads: openedx/openedx-events, `learning/data.py`; names and keys: `learning/signals.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from recsys.adapters.course_keys import CourseRun, course_run
from recsys.adapters.fields import is_blank, number
from recsys.adapters.openedx import (
    BY_SOMEBODY_ELSE,
    Happening,
    OpenEdxRules,
    Rule,
    is_staff,
    learner_id,
    once,
    progressed,
)
from recsys.adapters.openedx_tracking import tracking_outcome
from recsys.adapters.outcomes import Outcome, Refused, Skipped, safe_name
from recsys.adapters.staff import EVERYWHERE, Role
from recsys.errors import RefusalReason

DOWNLOADABLE: Final = "downloadable"
TRACKING: Final = "org.openedx.analytics.tracking.event.emitted.v1"
ROLE_ADDED: Final = "org.openedx.learning.user.course_access_role.added.v1"
ROLE_REMOVED: Final = "org.openedx.learning.user.course_access_role.removed.v1"
GRADE_CHANGED: Final = "org.openedx.learning.course.persistent_grade_summary.changed.v1"

_ENROLL: Final = Rule("enroll", "state")
_UNENROLL: Final = Rule("unenroll", "state")
_COMPLETE: Final = Rule("complete", "state")
_UNCOMPLETE: Final = Rule("uncomplete", "state")

Payload = Mapping[str, Any]


def _is_true(name: str) -> Callable[[Payload], bool]:
    return lambda payload: payload.get(name) is True


def _always(_: Payload) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an event of the bus becomes.

    Attributes:
        field: Where its payload lies.
        rule: What it is where `holds`.
        otherwise: What it is where not; None for nothing.
        holds: Decides from the payload.
    """

    field: str
    rule: Rule
    otherwise: Rule | None = None
    holds: Callable[[Payload], bool] = _always


_CERTIFICATE: Final = Meaning(
    "certificate", _COMPLETE, holds=lambda payload: payload.get("current_status") == DOWNLOADABLE
)
_PASSING: Final = Meaning("course_passing_status", _COMPLETE, _UNCOMPLETE, _is_true("is_passing"))

MEANINGS: Final[Mapping[str, Meaning]] = MappingProxyType(
    {
        "org.openedx.learning.course.enrollment.created.v1": Meaning(
            "enrollment", _ENROLL, holds=_is_true("is_active")
        ),
        "org.openedx.learning.course.enrollment.changed.v1": Meaning(
            "enrollment", _ENROLL, _UNENROLL, _is_true("is_active")
        ),
        "org.openedx.learning.course.unenrollment.completed.v1": Meaning("enrollment", _UNENROLL),
        "org.openedx.learning.certificate.created.v1": _CERTIFICATE,
        "org.openedx.learning.certificate.changed.v1": _CERTIFICATE,
        "org.openedx.learning.certificate.revoked.v1": Meaning("certificate", _UNCOMPLETE),
        "org.openedx.learning.course.passing.status.updated.v1": _PASSING,
        "org.openedx.learning.ccx.course.passing.status.updated.v1": _PASSING,
        GRADE_CHANGED: Meaning("grade", Rule("progress", "quarter")),
    }
)
"""Type of an event (`ce_type`) → what it becomes, beside tracking events (`TRACKING`) and roles."""


def bus_outcome(event_type: str, data: Payload, at_ms: int, rules: OpenEdxRules) -> Outcome:
    """One event of the bus, decoded.

    Args:
        event_type: Its `ce_type`.
        data: Its fields.
        at_ms: Its `ce_time`, ms since 1970 UTC.
        rules: What the operator decided; `staff` and `completions` learn from the event.
    """
    if event_type == TRACKING:
        return tracking_outcome(_object(data, "tracking_log"), rules)
    if event_type in {ROLE_ADDED, ROLE_REMOVED}:
        return _role(event_type, _object(data, "course_access_role_data"), rules)
    meaning = MEANINGS.get(event_type)
    return Skipped(safe_name(event_type)) if meaning is None else _meant(event_type, meaning, data, at_ms, rules)


def _meant(event_type: str, meaning: Meaning, data: Payload, at_ms: int, rules: OpenEdxRules) -> Outcome:
    payload = _object(data, meaning.field)
    rule = meaning.rule if meaning.holds(payload) else meaning.otherwise
    if rule is None:
        return Skipped(event_type, "without effect")
    found = _happening(event_type, payload, at_ms)
    if not isinstance(found, Happening):
        return found
    if is_staff(found, rules):
        return Skipped(event_type, "staff")
    return _graded(found, payload, rules) if event_type == GRADE_CHANGED else once(found, rule, rules)


def _happening(event_type: str, payload: Payload, at_ms: int) -> Happening | Outcome:
    user_id = learner_id(_object(payload, "user").get("id", payload.get("user_id")))
    if user_id is None:
        return Refused(RefusalReason.BAD_ID, f"{event_type}: expected the number of a user as user.id")
    run = _run(payload)
    if run is None:
        return Skipped(event_type, "no course")
    author = learner_id(_object(payload, "created_by").get("id"))
    name = event_type if author in {user_id, None} else event_type + BY_SOMEBODY_ELSE
    return Happening(name, user_id, run, at_ms)


def _run(payload: Payload) -> CourseRun | None:
    course = _object(payload, "course")
    for key in (course.get("course_key"), course.get("ccx_course_key"), payload.get("course_key")):
        if isinstance(key, str) and key:
            return course_run(key)
    return None


def _graded(found: Happening, payload: Payload, rules: OpenEdxRules) -> Outcome:
    if not rules.grades:
        return Skipped(found.name, "grades are not asked for")
    share = number(payload.get("percent_grade"), 1.0)
    if share is None:
        return Refused(RefusalReason.BAD_VALUE, f"{found.name}: expected a number from 0 to 1 as percent_grade")
    return progressed(found, rules, share)


def _role(event_type: str, payload: Payload, rules: OpenEdxRules) -> Outcome:
    """A role of a course or, where it names none, of an organisation; those of a library or of neither are no staff."""
    user_id = learner_id(_object(payload, "user").get("id"))
    if user_id is None:
        return Refused(RefusalReason.BAD_ID, f"{event_type}: expected the number of a user as user.id")
    run, org = _run(payload), payload.get("org_key")
    if run is not None:
        role = Role(user_id, run.course_id)
    elif is_blank(payload.get("course_key")) and isinstance(org, str) and org:
        role = Role(user_id, EVERYWHERE, org)
    else:
        return Skipped(event_type, "no course")
    (rules.staff.add if event_type == ROLE_ADDED else rules.staff.remove)(role)
    return Skipped(event_type, "staff list")


def _object(data: Payload, name: str) -> Payload:
    found = data.get(name)
    return found if isinstance(found, Mapping) else {}
