"""What `recsys engagement USER` says of a learner's records."""

from __future__ import annotations

import io
from functools import reduce

import pytest

from recsys.engagement import LANDMARK_MS, MS_PER_DAY
from recsys.errors import UnreadableState
from recsys.events import Interaction
from recsys.record import RecordRules, engagement_of, join, record_of
from recsys.terminal_tables import print_table
from stream.engagement.learner_table import as_table, course_rows

RULES = RecordRules()


def _event(course: str, kind: str, day: int, value: float | None = None) -> Interaction:
    return Interaction("e", "ada", course, kind, LANDMARK_MS + day * MS_PER_DAY, value)  # type: ignore[arg-type]  # kinds are those of the test


def _records(*events: Interaction) -> dict[str, bytes]:
    joined = {
        course: reduce(join, [record_of(each, RULES) for each in events if each.course_id == course])
        for course in dict.fromkeys(event.course_id for event in events)
    }
    return {course: RULES.packed(record) for course, record in joined.items()}


RECORDS = _records(
    _event("sql", "view", 0),
    _event("sql", "click", 0),
    _event("sql", "click", 1),
    _event("sql", "enroll", 2),
    _event("sql", "progress", 3, 0.6),
    _event("sql", "rate", 4, 4.5),
    _event("art", "enroll", 1),
    _event("art", "unenroll", 5),
)
AT_MS = LANDMARK_MS + 30 * MS_PER_DAY


def test_a_row_says_score_states_progress_last_touch_and_until_when_the_course_is_held_back() -> None:
    sql, art = (row.document("ada") for row in course_rows(RECORDS, RULES, AT_MS, key="k"))
    assert sql["score"] == pytest.approx(engagement_of(RECORDS["sql"]) / 2)
    del sql["score"]
    assert sql == {
        "user_id": "ada",
        "course_id": "sql",
        "flows": {"view": 1, "click": 2},
        "states": {
            "enroll": {"entered": True, "at": "2020-01-03T00:00:00.000Z"},
            "rate": {"entered": True, "at": "2020-01-05T00:00:00.000Z", "value": 4.5},
        },
        "progress": 0.5,
        "progress_at": "2020-01-04T00:00:00.000Z",
        "last_touch": "2020-01-05T00:00:00.000Z",
        "not_recommended_until": "for ever",
    }
    assert art["states"] == {"enroll": {"entered": False, "at": "2020-01-06T00:00:00.000Z"}}
    assert (art["progress_at"], art["not_recommended_until"]) == (None, "2020-02-05T00:00:00.000Z")


def test_the_table_names_what_was_left_by_its_event() -> None:
    out = io.StringIO()
    print_table(as_table(course_rows(RECORDS, RULES, AT_MS, key="k")), out, environment={})
    said = out.getvalue()
    for words in ("unenroll 2020-01-06", "rate 4.5 2020-01-05", "50 % since 2020-01-04", "view 1, click 2", "for ever"):
        assert words in said


def test_a_value_that_is_no_record_is_named_with_its_key() -> None:
    with pytest.raises(UnreadableState, match="the key"):
        course_rows({"c": b"12345678"}, RULES, AT_MS, key="the key")
