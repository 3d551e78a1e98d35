"""The catalogue's wire form."""

import pytest

from recsys.catalog import Course, decode_course, encode_course
from recsys.errors import InputError


def test_a_course_survives_encoding() -> None:
    course = Course(
        course_id="007", title="Café «SQL»", intro="a\nb", skills=("SQL", "ETL"), level="Beginner", retired=True
    )

    assert decode_course(encode_course(course)) == course


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
