"""Outcomes, ids, course keys, staff and the summary: what every adapter shares."""

from __future__ import annotations

from typing import Any

import pytest

from recsys.adapters import Mapped, Refused, Skipped, mapped
from recsys.adapters.course_keys import CourseRun, course_run, run_of_block
from recsys.adapters.ids import STATE, day, quarter, semantic_id
from recsys.adapters.outcomes import OTHER_NAME, safe_name
from recsys.adapters.staff import Role, Staff
from recsys.adapters.summary import MOST_NAMES, Summary
from recsys.errors import RefusalReason

NOW_MS = 1_790_000_000_000
FIELDS: dict[str, Any] = {
    "event_id": "e",
    "user_id": "7",
    "course_id": "O+C",
    "type": "view",
    "timestamp": NOW_MS - 1,
    "value": None,
}


def test_fields_become_an_event_and_absent_ones_stay_absent() -> None:
    outcome = mapped("seen", FIELDS, now_ms=NOW_MS)
    assert isinstance(outcome, Mapped)
    assert (outcome.name, outcome.event.user_id, outcome.event.value) == ("seen", "7", None)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"user_id": "jane@example.org\n"}, RefusalReason.BAD_ID),
        ({"course_id": "c" * 300}, RefusalReason.BAD_ID),
        ({"timestamp": NOW_MS + 600_000}, RefusalReason.IN_THE_FUTURE),
        ({"timestamp": 1}, RefusalReason.BEFORE_2000),
        ({"type": "progress", "value": 1.5}, RefusalReason.BAD_VALUE),
    ],
)
def test_what_the_stream_would_refuse_is_refused_here(changed: dict[str, Any], reason: RefusalReason) -> None:
    outcome = mapped("seen", FIELDS | changed, now_ms=NOW_MS)
    assert isinstance(outcome, Refused)
    assert outcome.reason == reason
    assert "jane" not in outcome.example


@pytest.mark.parametrize("name", ["jane@example.org", "/login?user=jane", "Jane Doe", "", "x" * 200, None, 7])
def test_a_name_that_may_be_a_person_is_not_shown(name: object) -> None:
    assert safe_name(name) == OTHER_NAME


def test_a_time_a_little_ahead_is_the_same_whenever_it_is_read() -> None:
    ahead = FIELDS | {"timestamp": NOW_MS + 60_000}
    assert mapped("seen", ahead, now_ms=NOW_MS) == mapped("seen", ahead, now_ms=NOW_MS + 72 * 3_600_000)


def test_an_id_says_what_happened() -> None:
    first = semantic_id("7", "O+C", "view", 20_000)
    assert first == semantic_id("7", "O+C", "view", 20_000)
    assert len(first) == 36
    others = {
        semantic_id("8", "O+C", "view", 20_000),
        semantic_id("7", "O+D", "view", 20_000),
        semantic_id("7", "O+C", "play", 20_000),
        semantic_id("7", "O+C", "view", 20_001),
        semantic_id("7", "O+C", "view", STATE),
        first,
    }
    assert len(others) == 6


@pytest.mark.parametrize(
    ("progress", "reached"), [(0, 0), (0.2499, 0), (0.25, 1), (0.5, 2), (0.999, 3), (3 * 0.25, 3), (1, 4), (7, 4)]
)
def test_quarters_are_rounded_down(progress: float, reached: int) -> None:
    assert quarter(progress) == reached


def test_a_day_is_a_utc_day() -> None:
    assert day(86_400_000 * 3 - 1) == 2
    assert day(86_400_000 * 3) == 3


@pytest.mark.parametrize(
    ("key", "course", "run"),
    [
        ("course-v1:edX+DemoX+2026_T1", "edX+DemoX", "course-v1:edX+DemoX+2026_T1"),
        ("course-v1%3AedX%2BDemoX%2B2026_T1", "edX+DemoX", "course-v1:edX+DemoX+2026_T1"),
        ("course-v1:edX DemoX 2026_T1", "edX+DemoX", "course-v1:edX+DemoX+2026_T1"),
        ("edX/DemoX/2013", "edX+DemoX", "edX/DemoX/2013"),
        ("edX+DemoX", "edX+DemoX", None),
        ("ccx-v1:edX+DemoX+2026_T1+ccx@4", "edX+DemoX", "ccx-v1:edX+DemoX+2026_T1+ccx@4"),
    ],
)
def test_a_run_is_a_run_of_its_course(key: str, course: str, run: str | None) -> None:
    assert course_run(key) == CourseRun(course, run, "edX")


def test_a_key_of_130_characters_is_a_course() -> None:
    key = f"course-v1:{'O' * 60}+{'C' * 50}+{'R' * 8}"
    assert len(key) == 130
    found = course_run(key)
    assert found is not None
    assert found.course_id == f"{'O' * 60}+{'C' * 50}"


@pytest.mark.parametrize("key", ["", "library-v1:edX+Problems", "edX", "course-v1:edX+DemoX", "course-v1:" + "x" * 300])
def test_what_is_no_course_has_no_run(key: str) -> None:
    assert course_run(key) is None


def test_a_block_is_of_a_run() -> None:
    found = run_of_block("block-v1:edX+DemoX+T1+type@video+block@abc")
    assert found == course_run("course-v1:edX+DemoX+T1")
    assert run_of_block("ccx-block-v1:edX+DemoX+T1+ccx@4+type@video+block@a") == course_run("ccx-v1:edX+DemoX+T1+ccx@4")
    assert run_of_block("i4x://edX/DemoX/video/abc") is None


def test_staff_of_a_course_an_organisation_or_everything() -> None:
    staff = Staff([Role("1", "O+C"), Role("2", "*", "O"), Role("3", "*")])
    assert [staff.has(user, "O+C", "O") for user in "1234"] == [True, True, True, False]
    assert [staff.has(user, "O+D", "O") for user in "1234"] == [False, True, True, False]
    assert [staff.has(user, "P+C", "P") for user in "1234"] == [False, False, True, False]
    staff.remove(Role("1", "O+C"))
    staff.remove(Role("9", "O+C"))
    staff.add(Role("4", "O+C"))
    assert [staff.has(user, "O+C", "O") for user in "14"] == [False, True]


def test_the_summary_adds_up() -> None:
    summary = Summary(catalogue={"O+D"})
    summary.add(mapped("seen", FIELDS, now_ms=NOW_MS))
    summary.add(mapped("seen", FIELDS | {"course_id": "O+D", "user_id": "8"}, now_ms=NOW_MS))
    summary.add(Skipped("load_video"))
    summary.add(Skipped("seen", "staff"))
    summary.add(Refused(RefusalReason.NOT_JSON, "expected a JSON object"), "line 5")
    summary.add(Refused(RefusalReason.NOT_JSON, "expected a JSON object"), "line 6")
    found = summary.document()
    assert found["lines"] == 6 == summary.sent + summary.skipped.total() + 2
    assert found["events"] == [{"name": "seen", "type": "view", "events": 2}]
    assert {(row["name"], row["why"]) for row in found["skipped"]} == {("load_video", ""), ("seen", "staff")}
    assert found["refused"] == [{"reason": "not_json", "lines": 2, "example": "line 5: expected a JSON object"}]
    assert (found["learners"], found["courses"]) == (2, 2)
    assert found["unjoined_courses"] == {"courses": 1, "most_frequent": ["O+C"]}


def test_without_a_catalogue_nothing_is_said_about_joining() -> None:
    assert Summary().document()["unjoined_courses"] is None


def test_names_are_bounded() -> None:
    summary = Summary()
    for number in range(3 * MOST_NAMES):
        summary.add(Skipped(f"name.{number}"))
    assert len(summary.skipped) == MOST_NAMES + 1
    assert summary.skipped[OTHER_NAME, ""] == 2 * MOST_NAMES


def test_nothing_was_read_where_all_is_refused() -> None:
    refused = Refused(RefusalReason.NOT_JSON, "")
    read = []
    for outcomes in ((), (refused,), (refused, Skipped("x"))):
        summary = Summary()
        for outcome in outcomes:
            summary.add(outcome)
        read.append(summary.nothing_read)
    assert read == [False, True, False]
