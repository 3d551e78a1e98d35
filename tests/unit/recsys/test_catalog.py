"""A course's wire form."""

import pytest

from recsys.catalog import (
    Course,
    CourseRefusal,
    InvalidCourse,
    PathPosition,
    Run,
    decode_course,
    encode_course,
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
