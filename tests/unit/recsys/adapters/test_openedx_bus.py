"""Events of Open edX's bus, decoded: what each becomes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.adapters import Mapped, Refused, Skipped
from recsys.adapters.openedx import BY_SOMEBODY_ELSE, OpenEdxRules
from recsys.adapters.openedx_bus import (
    GRADE_CHANGED,
    MEANINGS,
    ROLE_ADDED,
    ROLE_REMOVED,
    TRACKING,
    bus_outcome,
)
from recsys.adapters.staff import Role
from recsys.errors import RefusalReason
from recsys.vocabulary import VOCABULARY
from tests.doubles.openedx_bus import COURSE, CREATED, WHEN_MS, enrollment, role, user

NOW_MS = 1_795_000_000_000
PREFIX = "org.openedx.learning."


def rules(**more: Any) -> OpenEdxRules:
    return OpenEdxRules(lambda: NOW_MS, **more)


def certificate(status: str) -> dict[str, Any]:
    return {"certificate": {"user": user(5), "course": {"course_key": COURSE}, "current_status": status}}


def passing(*, yes: bool) -> dict[str, Any]:
    return {"course_passing_status": {"user": user(5), "course": {"ccx_course_key": COURSE}, "is_passing": yes}}


def grade(share: object) -> dict[str, Any]:
    return {"grade": {"user_id": 5, "course": {"course_key": COURSE}, "percent_grade": share}}


@pytest.mark.parametrize(
    ("event_type", "data", "kind"),
    [
        (CREATED, enrollment(5), "enroll"),
        (CREATED, enrollment(5, active=False), None),
        (f"{PREFIX}course.enrollment.changed.v1", enrollment(5), "enroll"),
        (f"{PREFIX}course.enrollment.changed.v1", enrollment(5, active=False), "unenroll"),
        (f"{PREFIX}course.unenrollment.completed.v1", enrollment(5, active=False), "unenroll"),
        (f"{PREFIX}certificate.created.v1", certificate("downloadable"), "complete"),
        (f"{PREFIX}certificate.changed.v1", certificate("notpassing"), None),
        (f"{PREFIX}certificate.revoked.v1", certificate("unavailable"), "uncomplete"),
        (f"{PREFIX}course.passing.status.updated.v1", passing(yes=True), "complete"),
        (f"{PREFIX}ccx.course.passing.status.updated.v1", passing(yes=False), "uncomplete"),
        (f"{PREFIX}exam.attempt.submitted.v1", {}, None),
        (f"{PREFIX}student.registration.completed.v1", {"user": user(5)}, None),
    ],
)
def test_what_an_event_becomes(event_type: str, data: dict[str, Any], kind: str | None) -> None:
    outcome = bus_outcome(event_type, data, WHEN_MS, rules())
    if kind is None:
        assert isinstance(outcome, Skipped)
        assert outcome.name == event_type
        return
    assert isinstance(outcome, Mapped)
    event = outcome.event
    assert (event.user_id, event.course_id, event.type, event.timestamp) == ("5", "DemoX+C1", kind, WHEN_MS)
    assert (event.run_id, event.tenant, event.source) == (COURSE, "DemoX", "openedx")


def test_an_enrolment_that_comes_twice_is_one() -> None:
    first, second = (bus_outcome(CREATED, enrollment(5), WHEN_MS + later, rules()) for later in (0, 40))
    assert isinstance(first, Mapped)
    assert isinstance(second, Mapped)
    assert first.event.event_id == second.event.event_id


def test_an_enrolment_by_somebody_else_is_counted_apart() -> None:
    names = [
        outcome.name
        for by in (None, 5, 9001)
        if isinstance(outcome := bus_outcome(CREATED, enrollment(5, by=by), WHEN_MS, rules()), Mapped)
    ]
    assert names == [CREATED, CREATED, CREATED + BY_SOMEBODY_ELSE]


def test_a_grade_is_a_progress_where_grades_are_asked_for() -> None:
    assert isinstance(bus_outcome(GRADE_CHANGED, grade(0.6), WHEN_MS, rules()), Skipped)
    outcome = bus_outcome(GRADE_CHANGED, grade(0.6), WHEN_MS, rules(grades=True))
    assert isinstance(outcome, Mapped)
    assert (outcome.event.type, outcome.event.value) == ("progress", 0.6)
    refused = bus_outcome(GRADE_CHANGED, grade("much"), WHEN_MS, rules(grades=True))
    assert isinstance(refused, Refused)
    assert refused.reason == RefusalReason.BAD_VALUE


def test_a_role_makes_staff_from_then_on_until_it_is_taken() -> None:
    decided = rules()
    assert isinstance(bus_outcome(CREATED, enrollment(5), WHEN_MS, decided), Mapped)
    assert isinstance(bus_outcome(ROLE_ADDED, role(5), WHEN_MS, decided), Skipped)
    assert bus_outcome(CREATED, enrollment(5), WHEN_MS, decided) == Skipped(CREATED, "staff")
    assert isinstance(bus_outcome(CREATED, enrollment(6), WHEN_MS, decided), Mapped)
    bus_outcome(ROLE_REMOVED, role(5), WHEN_MS, decided)
    assert isinstance(bus_outcome(CREATED, enrollment(5), WHEN_MS, decided), Mapped)


@pytest.mark.parametrize(
    ("given", "roles"),
    [
        (role(5), [Role("5", "DemoX+C1")]),
        (role(5, course=""), [Role("5", "*", "DemoX")]),
        (role(5, course="", org=""), []),
        (role(5, course="library-v1:DemoX+Lib"), []),
    ],
)
def test_whose_staff_a_role_makes(given: dict[str, Any], roles: list[Role]) -> None:
    decided = rules()
    bus_outcome(ROLE_ADDED, given, WHEN_MS, decided)
    assert list(decided.staff) == roles


def test_a_tracking_event_is_read_as_from_the_log() -> None:
    log = {
        "name": "edx.bookmark.added",
        "timestamp": "2026-09-01T10:00:00",
        "context": json.dumps({"user_id": 5, "course_id": COURSE, "username": "planted"}),
        "data": json.dumps({"course_id": COURSE}),
    }
    outcome = bus_outcome(TRACKING, {"tracking_log": log}, WHEN_MS, rules())
    assert isinstance(outcome, Mapped)
    assert (outcome.name, outcome.event.type) == ("edx.bookmark.added", "bookmark")


@pytest.mark.parametrize("event_type", [*MEANINGS, ROLE_ADDED, TRACKING])
@pytest.mark.parametrize("data", [{}, {"enrollment": None}, {"enrollment": {"user": {"id": "planted@example.org"}}}])
def test_an_event_without_its_fields_is_refused_or_skipped(event_type: str, data: dict[str, Any]) -> None:
    outcome = bus_outcome(event_type, data, WHEN_MS, rules(grades=True))
    assert not isinstance(outcome, Mapped)
    assert "planted" not in repr(outcome)


def test_every_meaning_is_in_the_vocabulary() -> None:
    kinds = {rule.kind for meaning in MEANINGS.values() for rule in (meaning.rule, meaning.otherwise) if rule}
    assert kinds <= set(VOCABULARY)


_trees: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(COURSE),
    lambda inner: (
        st.dictionaries(
            st.sampled_from(
                ["user", "id", "course", "course_key", "is_active", "percent_grade", "created_by", "org_key"]
            ),
            inner,
            max_size=4,
        )
        | st.lists(inner, max_size=2)
    ),
    max_leaves=10,
)


@given(st.sampled_from([*MEANINGS, ROLE_ADDED, ROLE_REMOVED, TRACKING]), _trees, _trees)
def test_whatever_an_event_holds_nothing_is_raised(event_type: str, first: Any, second: Any) -> None:
    meaning = MEANINGS.get(event_type)
    field = "course_access_role_data" if meaning is None else meaning.field
    bus_outcome(event_type, {field: first, "tracking_log": second}, WHEN_MS, rules(grades=True))
