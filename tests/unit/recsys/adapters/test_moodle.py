"""Rows of Moodle's log: each trap as an export beside this test (tests/data/moodle), and what comes of it."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.adapters import Mapped, Outcome, Refused, Skipped
from recsys.adapters.completions import Completions
from recsys.adapters.lines import outcomes, read_lines
from recsys.adapters.moodle import MoodleRules, parse_row
from recsys.adapters.moodle_rows import row_lines
from recsys.adapters.staff import Role, Staff
from recsys.adapters.summary import Summary
from recsys.errors import RefusalReason
from recsys.events import Interaction, encode
from recsys.vocabulary import VOCABULARY

DATA = Path("tests/data/moodle")
EXPORTS = sorted(path.name for path in DATA.iterdir() if path.name != "staff_list.csv")
NOW_MS = 1_795_000_000_000  # 2026-11-18
SEPTEMBER_1_MS = 1_788_256_800_000  # 2026-09-01T10:00:00Z
DAY_MS = 86_400_000
PLANTED = "planted"
"""The personal data in the exports: names and addresses begin so."""


def read(name: str, rules: MoodleRules | None = None) -> list[Outcome]:
    return read_bytes((DATA / name).read_bytes(), rules)


def read_bytes(content: bytes, rules: MoodleRules | None = None) -> list[Outcome]:
    rules = rules or MoodleRules(lambda: NOW_MS)
    rows = row_lines(read_lines(io.BytesIO(content)))
    return [outcome for _, outcome in outcomes(rows, lambda row: parse_row(row, rules))]


def events(name: str, rules: MoodleRules | None = None) -> list[Interaction]:
    return [outcome.event for outcome in read(name, rules) if isinstance(outcome, Mapped)]


def told(name: str, rules: MoodleRules | None = None) -> list[tuple[str, str, str]]:
    return [(event.user_id, event.course_id, event.type) for event in events(name, rules)]


def skipped(name: str, rules: MoodleRules | None = None) -> list[str]:
    return [found.why for found in read(name, rules) if isinstance(found, Skipped)]


def test_whom_an_event_is_about_is_the_related_user_never_the_teacher_or_the_scheduler() -> None:
    assert told("learner_is_related.csv") == [
        ("301", "5", "enroll"),
        ("301", "5", "complete"),
        ("302", "5", "complete"),
    ]
    assert skipped("learner_is_related.csv") == ["no course", "no learner", "no learner"]
    first = events("learner_is_related.csv")[0]
    assert (first.timestamp, first.source, first.tenant) == (SEPTEMBER_1_MS, "moodle", None)


def test_suspended_unenrolled_and_enrolled_again() -> None:
    days = [(event.type, (event.timestamp - SEPTEMBER_1_MS) // DAY_MS) for event in events("enrolment_status.csv")]
    assert days == [("enroll", 0), ("unenroll", 1), ("enroll", 2), ("unenroll", 4), ("enroll", 5)]
    assert skipped("enrolment_status.csv") == ["status not said"]


def test_300_completed_modules_are_one_play_a_day_and_weigh_less_than_an_enrolment_and_a_completion() -> None:
    found = events("module_completions.csv.gz")
    assert Counter(event.type for event in found) == {"play": 3, "enroll": 1, "complete": 1}
    weight = {"320": 0.0, "321": 0.0}
    for event in {event.event_id: event for event in found}.values():
        weight[event.user_id] += VOCABULARY[event.type].weight
    assert weight == {"320": 3 * 2.0, "321": 10.0 + 12.0}
    assert Counter(skipped("module_completions.csv.gz")) == {"more of the day": 297, "not complete": 1}


def test_with_the_number_of_modules_they_are_four_quarters() -> None:
    rules = MoodleRules(lambda: NOW_MS, completions=Completions({"6": 300}))
    found = [(event.type, event.value) for event in events("module_completions.csv.gz", rules)]
    assert found == [*(("progress", quarter / 4) for quarter in (1, 2, 3, 4)), ("enroll", None), ("complete", None)]


def test_what_is_not_the_learners_own_doing_is_skipped_by_name() -> None:
    assert events("not_the_learner.csv") == []
    assert skipped("not_the_learner.csv") == [
        "anonymous",
        "another logged in as the learner",
        "origin cli",
        "guest",
        "no course",
        "no learner",
        "no course",
        "",
        "",
        "",
    ]


def test_views_and_modules_are_one_event_a_day_each() -> None:
    found = events("views.csv")
    assert [event.type for event in found] == ["view", "view", "play", "play", "view"]
    assert [len({event.event_id for event in found if event.type == kind}) for kind in ("view", "play")] == [2, 2]


def test_staff_of_a_course_leave_no_signal_in_it() -> None:
    rules = MoodleRules(lambda: NOW_MS, staff=Staff([Role("350", "5")]))
    assert told("staff.csv", rules) == [("350", "6", "view"), ("351", "5", "play")]
    assert skipped("staff.csv", rules) == ["staff"]


def test_json_rows_one_a_line_or_in_an_array() -> None:
    assert told("rows.jsonl") == [
        ("360", "5", "enroll"),
        ("361", "5", "enroll"),
        ("361", "5", "complete"),
        ("362", "5", "view"),
    ]


def test_empty_cells_at_the_end_of_a_line_of_tabs_are_cells() -> None:
    row = b"\\core\\event\\course_viewed\t7\t5\t1788256800"
    content = b"eventname\tuserid\tcourseid\ttimecreated\tip\trealuserid\n" + row + b"\t\t\n" + row + b"\n"
    assert [type(outcome).__name__ for outcome in read_bytes(content)] == ["Mapped", "Mapped"]


def test_damaged_rows_are_refused_and_the_next_good_one_is_taken() -> None:
    found = read("damaged.csv")
    assert [outcome.event.user_id for outcome in found if isinstance(outcome, Mapped)] == ["380", "382"]
    assert [outcome.reason for outcome in found if isinstance(outcome, Refused)] == [
        RefusalReason.SCHEMA,
        RefusalReason.BAD_TIMESTAMP,
        RefusalReason.SCHEMA,
        RefusalReason.BAD_TIMESTAMP,
    ]


@pytest.mark.parametrize(
    ("content", "reasons"),
    [
        pytest.param(b"", [], id="empty"),
        pytest.param(b"user,course\n1,2\n", ["not_json", "not_json"], id="another header"),
        pytest.param(b'eventname,userid\n"open,1\n', ["schema"], id="a quote that never ends"),
        pytest.param(b"eventname,userid\n" + b"x" * 2_000_000 + b"\n", ["too_large"], id="a long line"),
        pytest.param(b"eventname\r,userid\n1,2\n", ["not_json"] * 2, id="a carriage return in the header"),
        pytest.param(b"{" * 100, ["too_deep"], id="deep"),
        pytest.param(b'[1, "a", null, {}]', ["schema"] * 4, id="an array of something else"),
    ],
)
def test_what_is_no_export_is_refused(content: bytes, reasons: list[str]) -> None:
    assert [str(outcome.reason) for outcome in read_bytes(content) if isinstance(outcome, Refused)] == reasons


@pytest.mark.parametrize("name", EXPORTS)
def test_no_personal_data_leaves_the_adapter(name: str) -> None:
    summary = Summary()
    sent = b""
    for place, outcome in enumerate(read(name)):
        summary.add(outcome, f"line {place}")
        sent += encode(outcome.event) if isinstance(outcome, Mapped) else repr(outcome).encode()
    shown = json.dumps(summary.document()).encode() + sent
    for personal in (PLANTED.encode(), b"@example", b"203.0.113"):
        assert personal not in shown.lower()


def test_who_is_accepted_among_planted_names() -> None:
    assert told("personal_data.csv") == [("370", "5", "enroll")]
    assert Counter(type(outcome).__name__ for outcome in read("personal_data.csv")) == {
        "Mapped": 1,
        "Skipped": 1,
        "Refused": 3,
    }


def test_the_same_export_again_72_hours_later_says_the_same() -> None:
    for name in EXPORTS:
        assert events(name) == events(name, MoodleRules(lambda: NOW_MS + 72 * 3_600_000)), name


_ROW: dict[str, Any] = {
    "eventname": "\\core\\event\\user_enrolment_updated",
    "userid": 2,
    "relateduserid": 7,
    "courseid": 5,
    "other": '{"status": 0}',
    "timecreated": 1_788_256_800,
}
_values = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.lists(st.integers())


@given(st.sampled_from([*_ROW, "anonymous", "realuserid", "origin"]), _values)
def test_whatever_a_cell_holds_nothing_is_raised(name: str, value: Any) -> None:
    row = json.dumps(_ROW | {name: value}).encode()
    assert isinstance(parse_row(row, MoodleRules(lambda: NOW_MS)), Mapped | Skipped | Refused)


@given(st.binary(max_size=200))
def test_whatever_bytes_come_nothing_is_raised(content: bytes) -> None:
    read_bytes(content)
    read_bytes(b"eventname,userid,courseid\n" + content)
