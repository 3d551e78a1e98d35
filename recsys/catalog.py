"""The catalogue: one `Course`, and its form as the value of a record in the compacted `courses` topic.

Comes in: JSON bytes from Kafka or from a model bundle's `courses.json`. Goes out: frozen `Course` values. This module
reads no file and knows no data frame (`recsys.files` does), so the stream worker and the API may import it.
"""

from __future__ import annotations

import msgspec

from recsys.errors import InputError
from recsys.events import CourseId


class Course(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One course, as learners see it and as the model reads it.

    In the `courses` topic the record key is `course_id`, and a null value (a tombstone) retires the course.

    Attributes:
        course_id: 1–128 printable characters; the key of the record.
        title: The name shown to learners.
        intro: A sentence to a few paragraphs of description; plain text.
        skills: What the course teaches, most important first.
        category: Subject area, "" where unknown.
        level: Such as "Beginner"; "" where unknown.
        language: Language of instruction, "" where unknown.
        retired: Kept for history and titles, never recommended.
    """

    course_id: CourseId
    title: str
    intro: str = ""
    skills: tuple[str, ...] = ()
    category: str = ""
    level: str = ""
    language: str = ""
    retired: bool = False


COURSE_FIELDS: tuple[str, ...] = Course.__struct_fields__

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Course)


def encode_course(course: Course) -> bytes:
    """The course as one JSON object in UTF-8; `decode_course` gives it back unchanged."""
    return _encoder.encode(course)


def decode_course(value: bytes) -> Course:
    """Decodes and validates one course; unknown fields are ignored.

    Args:
        value: One JSON object in UTF-8. A tombstone (null value) is the caller's to recognise.

    Raises:
        InputError: For anything that is not a valid course. Nothing else is raised.
    """
    try:
        course = _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"expected a course as one JSON object, received {error}") from None
    if not course.course_id.isprintable():
        raise InputError(f"expected a course_id of printable characters, received {course.course_id[:40]!r}")
    return course
