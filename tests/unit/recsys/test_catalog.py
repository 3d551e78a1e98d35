"""The catalogue's wire form, and what is made of a log of it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.catalog import (
    Catalogue,
    Course,
    CourseRefusal,
    InvalidCourse,
    PathPosition,
    Run,
    decode_course,
    decode_key,
    encode_course,
    prerequisite_remarks,
    unknown_prerequisites,
)
from recsys.errors import InputError


def test_a_course_survives_encoding() -> None:
    course = Course(
        course_id="007", title="Café «SQL»", intro="a\nb", skills=("SQL", "ETL"), level="Beginner", retired=True
    )

    assert decode_course(encode_course(course)) == course


FULL = Course(
    course_id="O+C",
    title="T",
    runs=(
        Run(run_id="course-v1:O+C+1", start=1, end=2, enrollment_start=0, enrollment_end=1, pacing="self"),
        Run(run_id="course-v1:O+C+2", hidden=True, invitation_only=True),
    ),
    languages=("en", "fr"),
    subtitles=("de",),
    prerequisites=("O+B",),
    paths=(PathPosition(path_id="p", position=0), PathPosition(path_id="q")),
    org="O",
    tenant="t",
    instructors=("A. Teacher",),
    effort_hours=12.5,
    duration_weeks=6.0,
    certificate="verified",
    countries_allow=("CH",),
    countries_block=("XX",),
    min_age=16,
    created_at=1_600_000_000_000,
    url="https://example.org/c",
    image_url="https://example.org/c.png",
)
"""A course with a value in every optional field."""


def test_every_optional_field_survives_encoding_and_an_absent_one_takes_no_byte() -> None:
    assert decode_course(encode_course(FULL)) == FULL
    assert encode_course(Course(course_id="1", title="T")) == b'{"course_id":"1","title":"T"}'


@pytest.mark.parametrize(
    "field",
    [
        b'"effort_hours":-1',
        b'"min_age":-1',
        b'"created_at":1' + b"0" * 30,
        b'"runs":[{}]',
        b'"runs":[{"run_id":""}]',
        b'"paths":[{"position":1}]',
    ],
)
def test_a_run_without_an_id_and_negative_numbers_are_refused(field: bytes) -> None:
    with pytest.raises(InvalidCourse) as caught:
        decode_course(b'{"course_id":"1","title":"T",' + field + b"}")
    assert caught.value.reason is CourseRefusal.SCHEMA


def test_prerequisites_that_name_no_course_are_counted_by_how_many_ask_for_them() -> None:
    courses = [
        Course(course_id="a", title="A", prerequisites=("b", "gone", "gone")),
        Course(course_id="b", title="B", prerequisites=("gone", "lost")),
    ]
    assert unknown_prerequisites(courses) == {"gone": 2, "lost": 1}
    assert prerequisite_remarks(courses) == [
        "catalogue: 2 prerequisites name no course of it and bind nobody, such as 'gone' (asked for by 2)"
    ]
    assert prerequisite_remarks([Course(course_id="a", title="A", prerequisites=("a",))]) == []


def test_unknown_fields_are_ignored_and_missing_ones_have_defaults() -> None:
    assert decode_course(b'{"course_id":"1","title":"T","price":3}') == Course(course_id="1", title="T")


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff",
        b'{"course_id":"1"}',
        b'{"course_id":1,"title":"T"}',
        b"[" * 100000,
        b'{"course_id":"","title":"T"}',
        b'{"course_id":"a\\u0000","title":"T"}',
        b'{"course_id":"1","title":"T","skills":"x"}',
    ],
    ids=lambda value: repr(value[:30]),
)
def test_anything_else_is_refused_with_one_typed_error(value: bytes) -> None:
    with pytest.raises(InputError, match="expected a course"):
        decode_course(value)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"title;intro", CourseRefusal.NOT_JSON),
        (b"\xff", CourseRefusal.NOT_JSON),
        (b"", CourseRefusal.NOT_JSON),
        (b'{"title":"T"}', CourseRefusal.BAD_ID),
        (b'{"course_id":17,"title":"T"}', CourseRefusal.BAD_ID),
        (b'{"course_id":null,"title":"T"}', CourseRefusal.BAD_ID),
        (b'{"course_id":"","title":"T"}', CourseRefusal.BAD_ID),
        (b'{"course_id":"a\\u0000","title":"T"}', CourseRefusal.BAD_ID),
        (b'{"course_id":"c"}', CourseRefusal.NO_TITLE),
        (b'{"course_id":"c","title":null}', CourseRefusal.NO_TITLE),
        (b'{"course_id":"c","title":5}', CourseRefusal.NO_TITLE),
        (b'{"course_id":"c","title":"T","skills":"x"}', CourseRefusal.SCHEMA),
        (b'{"course_id":"c","title":"T","skills":[1]}', CourseRefusal.SCHEMA),
        (b"[]", CourseRefusal.SCHEMA),
    ],
)
def test_what_is_no_course_is_refused_by_reason(value: bytes, reason: CourseRefusal) -> None:
    with pytest.raises(InvalidCourse) as caught:
        decode_course(value)
    assert caught.value.reason is reason


@pytest.mark.parametrize(
    ("key", "course_id"),
    [
        (b"c1", "c1"),
        (b'"c1"', "c1"),
        (b'"caf\\u00e9"', "café"),
        (b"17", "17"),
        (b'"half', '"half'),
        ("«ü»".encode(), "«ü»"),
        (b"", None),
        (b'""', None),
        (None, None),
        (b"\xff\xfe", None),
        (b'"\xff"', None),
    ],
)
def test_a_key_is_the_id_itself_or_a_json_string_of_it(key: bytes | None, course_id: str | None) -> None:
    assert decode_key(key) == course_id


@given(
    st.text(min_size=1, max_size=30).filter(
        lambda text: text.isprintable() and not text.isspace() and not text.startswith('"')
    )
)
def test_both_ways_to_write_a_key_are_read_alike(course_id: str) -> None:
    assert decode_key(course_id.encode()) == course_id
    assert decode_key(json.dumps(course_id).encode()) == course_id
    assert decode_key(json.dumps(course_id, ensure_ascii=False).encode()) == course_id


def test_a_log_of_courses_is_its_newest_states_and_a_count_of_everything_else() -> None:
    """Before, records that were no course were passed without a word, and a quoted key retired nothing."""
    catalogue = Catalogue()
    log: list[tuple[bytes | None, bytes | None]] = [
        (b"c1", encode_course(Course(course_id="c1", title="old"))),
        (b"c1", encode_course(Course(course_id="c1", title="new"))),
        (b'"c2"', encode_course(Course(course_id="c2", title="gone"))),
        (b'"c2"', None),
        (b"c3", b"not JSON"),
        (b"c4", b'{"course_id": 4, "title": "Four"}'),
        (b"c5", b'{"course_id": "c5"}'),
        (b"c6", b'{"course_id": "c6", "title": null}'),
        (b"compacted-away", None),
        (b"\xff", None),
        (b" ", b'{"course_id": " ", "title": "Blank"}'),
        (b" ", None),
    ]
    for offset, (key, value) in enumerate(log):
        catalogue.add(key, value, offset)

    assert {c.course_id: (c.title, c.retired) for c in catalogue.courses.values()} == {
        "c1": ("new", False),
        "c2": ("gone", True),
    }
    assert catalogue.retired == {"c2", "compacted-away"}
    assert (catalogue.records, catalogue.tombstones) == (12, 2)
    assert catalogue.refused == {"not_json": 1, "bad_id": 2, "no_title": 2, "bad_key": 2}
    assert [line.split(":")[1].strip() for line in catalogue.remarks()] == [
        "2 of 12 records refused as bad_id, the first at offset 5, key 'c4'",
        r"2 of 12 records refused as bad_key, the first at offset 9, key '\\xff'",
        "2 of 12 records refused as no_title, the first at offset 6, key 'c5'",
        "1 of 12 records refused as not_json, the first at offset 4, key 'c3'",
    ]


def test_a_course_that_is_written_after_its_tombstone_is_recommended_again() -> None:
    catalogue = Catalogue()
    for offset, value in enumerate((None, encode_course(Course(course_id="c1", title="back")))):
        catalogue.add(b"c1", value, offset)
    assert catalogue.retired == set()
    assert not catalogue.courses["c1"].retired
