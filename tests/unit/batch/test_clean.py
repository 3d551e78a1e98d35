"""Cleaning: the same rules as the stream, on whole columns, with everything counted."""

import unicodedata
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batch.clean import clean_courses, clean_interactions, refusals
from batch.text_repair import is_visible, readable
from recsys.catalog import Course
from recsys.errors import InvalidEvent
from recsys.events import EVENT_TYPES, MAX_FUTURE_MS, YEAR_2000_MS, from_mapping
from recsys.files import INTERACTION_COLUMNS, course_frame, courses_in

ARRIVAL_MS = 1_700_000_000_000
GOOD: dict[str, Any] = {
    "event_id": "e",
    "user_id": "u",
    "course_id": "c",
    "type": "view",
    "timestamp": 1_600_000_000_000,
    "value": None,
    "session_id": None,
    "user_agent": None,
    "into": None,
}

ids = st.one_of(
    st.sampled_from(["e", "", " ", "a\u0000", "é", "x" * 255, "x" * 256, "\ud800", "\u200b", "😀" * 255]),
    st.text(max_size=3),
)
times = st.one_of(
    st.sampled_from([ARRIVAL_MS, ARRIVAL_MS + 1, ARRIVAL_MS + MAX_FUTURE_MS, ARRIVAL_MS + MAX_FUTURE_MS + 1])
    | st.sampled_from([YEAR_2000_MS, YEAR_2000_MS - 1, 0, -1, 2**63 - 1, -(2**63)]),
    st.integers(-(2**63), 2**63 - 1),
)
values = st.none() | st.sampled_from([0.0, 1.0, 5.0, -0.1, 1.0001, 5.1, 0.9, -0.0]) | st.floats(allow_nan=False)
rows = st.fixed_dictionaries(
    {
        "event_id": ids,
        "user_id": ids,
        "course_id": ids,
        "type": st.sampled_from([*EVENT_TYPES, "", "View", "purchase"]),
        "timestamp": times,
        "value": values,
        "session_id": st.none() | st.text(max_size=3),
        "user_agent": st.none() | st.text(max_size=3),
        "into": st.none() | ids,
    }
)


def frame_of(*changes: dict[str, Any]) -> pd.DataFrame:
    frame = pd.DataFrame([{**GOOD, **change} for change in changes], columns=list(INTERACTION_COLUMNS), dtype=object)
    return frame.astype({"timestamp": "int64", "value": "float64"})


def reason_one_by_one(row: dict[str, Any], arrival_ms: int) -> str:
    in_column_order = {name: row[name] for name in INTERACTION_COLUMNS}  # the order decides which reason comes first
    try:
        from_mapping(in_column_order, arrival_ms=arrival_ms)
    except InvalidEvent as error:
        return str(error.reason)
    return ""


@given(st.lists(rows, min_size=1, max_size=20), st.sampled_from([ARRIVAL_MS, YEAR_2000_MS - 1]))
@example([GOOD], ARRIVAL_MS)
def test_columns_and_single_events_are_judged_alike(cases: list[dict[str, Any]], arrival_ms: int) -> None:
    expected = [reason_one_by_one(row, arrival_ms) for row in cases]

    assert list(refusals(frame_of(*cases), arrival_ms=arrival_ms)) == expected


@given(st.lists(rows, min_size=1, max_size=20))
def test_every_row_is_kept_or_counted_and_kept_rows_are_accepted_unchanged(cases: list[dict[str, Any]]) -> None:
    kept, report = clean_interactions(frame_of(*cases), arrival_ms=ARRIVAL_MS)

    assert report.received == len(cases) == report.kept + sum(report.dropped.values())
    for row in kept.astype(object).replace({np.nan: None}).to_dict("records"):
        assert (
            from_mapping({str(name): value for name, value in row.items()}, arrival_ms=ARRIVAL_MS).timestamp
            == row["timestamp"]
        )


def test_events_that_an_earlier_one_says_already_are_counted_as_repeated_whatever_their_ids() -> None:
    frame = frame_of(
        {},
        {"event_id": "f", "session_id": "s"},
        {"course_id": "second"},  # the same id, something else
        {"user_id": "other"},
        {"timestamp": GOOD["timestamp"] + 1},
        {"type": "?", "event_id": "x"},
    )

    kept, report = clean_interactions(frame, arrival_ms=ARRIVAL_MS)

    assert list(kept["course_id"]) == ["c", "second", "c", "c"]
    assert report.dropped == {"unknown_type": 1, "repeated": 1}


def test_a_refused_row_does_not_make_a_later_one_a_repeat() -> None:
    kept, _ = clean_interactions(frame_of({"type": "?"}, {}), arrival_ms=ARRIVAL_MS)

    assert len(kept) == 1


def test_merges_name_another_learner_and_no_course() -> None:
    merge = {"type": "merge", "course_id": "", "into": "v"}
    changes: list[dict[str, Any]] = [{}, {"into": "u"}, {"into": None}, {"into": ""}, {"course_id": "c"}]
    reasons = refusals(frame_of(*[{**merge, **change} for change in changes]), arrival_ms=ARRIVAL_MS)

    assert list(reasons) == ["", "bad_id", "schema", "bad_id", "schema"]


def test_times_shortly_after_arrival_are_clamped_and_counted() -> None:
    kept, report = clean_interactions(frame_of({"timestamp": ARRIVAL_MS + 60_000}), arrival_ms=ARRIVAL_MS)

    assert kept.loc[0, "timestamp"] == ARRIVAL_MS
    assert report.changed == {"clamped_to_arrival": 1}


def test_an_empty_frame_stays_one() -> None:
    kept, report = clean_interactions(frame_of(), arrival_ms=ARRIVAL_MS)

    assert kept.empty
    assert (report.received, report.kept, dict(report.dropped)) == (0, 0, {})


def test_courses_are_tidied_and_kept_once() -> None:
    frame = course_frame(
        [
            Course(course_id="1", title="old"),
            Course(course_id="1", title=" Fish &amp;amp; <b>Chips</b>\u00a0\n", skills=("SQL", "sql", " ", "ETL")),
            Course(course_id="2", title="\u200b\u00a0"),
            Course(course_id="bad\n", title="x"),
            Course(course_id="  ", title="x"),
        ]
    )

    kept, report = clean_courses(frame)

    assert list(courses_in(kept)) == [Course(course_id="1", title="Fish &amp;amp; <b>Chips</b>", skills=("SQL", "ETL"))]
    assert report.dropped == {"bad_id": 2, "empty_title": 1, "duplicate": 1}
    assert report.changed["title"] == 2


def test_cleaning_a_clean_catalogue_changes_nothing() -> None:
    frame = course_frame(
        [Course(course_id="1", title="C++ < C# & friends", intro="If a<b then. Else", skills=("A/B",))]
    )

    kept, report = clean_courses(frame)

    pd.testing.assert_frame_equal(kept, frame)
    assert not report.changed


@given(st.text())
def test_readable_text_is_one_line_and_stays_as_it_is(text: str) -> None:
    once = readable(text)

    assert once == once.strip()
    assert not any(unicodedata.category(character) in {"Cc", "Cs"} for character in once)
    assert readable(once) == once


@pytest.mark.parametrize(
    "text",
    [
        "Optional<T> and Vec<u8> in Rust",
        "The HTML <video> element",
        "<slot>",
        "Printing &lt;head&gt; and &amp;nbsp;",
        "is x <i and y> z?",
        "Q&A&amplifiers: https://host.example/?x=1&reg=2&para=3",
        "می‌نویسم",  # a zero-width non-joiner inside
        "👨‍👩‍👧 at home",
        "ක්‍රමලේඛනය",
        "two  blanks, a no-break\u00a0one and a soft\u00adhyphen",
    ],
)
def test_what_people_read_stays_as_it_was_written(text: str) -> None:
    frame = course_frame([Course(course_id="1", title=text, intro=text, skills=(text,), category=text)])

    kept, report = clean_courses(frame)

    assert list(kept.loc[0, ["title", "intro", "category"]]) == [text] * 3
    assert kept.loc[0, "skills"] == (text,)
    assert not report.changed


def test_control_characters_become_blanks_and_letters_are_composed() -> None:
    assert readable(" two\r\n lines\x00and\ta tab cafe\u0301 \ud800") == "two lines and a tab café"


@pytest.mark.parametrize("text", ["", " ", "\u00a0\u2003", "\u200b", "\u200c\u200d", "\u00ad", "\n"])
def test_text_of_blanks_and_invisible_characters_shows_nothing(text: str) -> None:
    assert not is_visible(text)
    assert is_visible(text + ".")
