"""One course, and its form as the value of a record in the compacted `courses` topic.

Comes in: JSON bytes from Kafka. Goes out: frozen `Course` values. This module reads no file and knows no data frame
(`recsys.files` does), so the stream worker and the API may import it. `recsys.catalogue_log` makes a catalogue of them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec

from recsys.errors import InputError
from recsys.events import CourseId

_NotNegative = Annotated[float, msgspec.Meta(ge=0)]
_Time = Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]


class Run(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One time that a course is given. Learners' events name the course, never the run, as what they were about.

    Attributes:
        run_id: Such as `course-v1:O+C+R`; 1–255 characters.
        start: First day, ms since 1970 UTC; None where unknown, as for the three below.
        end: Last day.
        enrollment_start: From when learners can enrol.
        enrollment_end: Until when learners can enrol.
        pacing: "self", "instructor", or "" where unknown.
        hidden: Not shown in the platform's own catalogue.
        invitation_only: Nobody can enrol without an invitation.
    """

    run_id: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    start: _Time | None = None
    end: _Time | None = None
    enrollment_start: _Time | None = None
    enrollment_end: _Time | None = None
    pacing: str = ""
    hidden: bool = False
    invitation_only: bool = False


class PathPosition(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a course stands in a learning path (a programme, a specialization).

    Attributes:
        path_id: The path.
        position: From 0; None where the source does not say.
    """

    path_id: Annotated[str, msgspec.Meta(min_length=1)]
    position: Annotated[int, msgspec.Meta(ge=0)] | None = None


class Course(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One course, as learners see it and as the model reads it.

    In the `courses` topic the record key is `course_id`, and a null value (a tombstone) retires the course. Only
    `course_id` and `title` are required; what is absent is not written.

    Attributes:
        course_id: 1–255 printable characters, not all of them blanks; the key of the record.
        title: The name shown to learners.
        intro: A sentence to a few paragraphs of description; plain text.
        skills: What the course teaches, most important first.
        category: Subject area, "" where unknown.
        level: Such as "Beginner"; "" where unknown.
        language: Language of instruction, "" where unknown; what the filter `language` compares.
        retired: Kept for history and titles, never recommended.
        runs: Each time the course is given, in the order of the source.
        languages: All languages of instruction.
        subtitles: Languages of the subtitles.
        prerequisites: Ids of courses to take before. An id outside the catalogue is allowed and binds nobody.
        paths: The learning paths that hold the course.
        org: Who offers the course.
        tenant: Whose catalogue the course belongs to, on a platform of several organisations.
        instructors: Names, as the public page shows them.
        effort_hours: Hours in all, ≥ 0.
        duration_weeks: Weeks from start to end, ≥ 0.
        certificate: Kind of certificate, such as "verified"; "" where none or unknown.
        countries_allow: ISO 3166 codes of the only countries that may take the course; empty for all.
        countries_block: ISO 3166 codes of countries that may not.
        min_age: Years.
        created_at: When the course was first listed, ms since 1970 UTC.
        url: Its page.
        image_url: Its picture.
    """

    course_id: CourseId
    title: str
    intro: str = ""
    skills: tuple[str, ...] = ()
    category: str = ""
    level: str = ""
    language: str = ""
    retired: bool = False
    runs: tuple[Run, ...] = ()
    languages: tuple[str, ...] = ()
    subtitles: tuple[str, ...] = ()
    prerequisites: tuple[str, ...] = ()
    paths: tuple[PathPosition, ...] = ()
    org: str = ""
    tenant: str = ""
    instructors: tuple[str, ...] = ()
    effort_hours: _NotNegative | None = None
    duration_weeks: _NotNegative | None = None
    certificate: str = ""
    countries_allow: tuple[str, ...] = ()
    countries_block: tuple[str, ...] = ()
    min_age: Annotated[int, msgspec.Meta(ge=0, le=1000)] | None = None
    created_at: _Time | None = None
    url: str = ""
    image_url: str = ""


COURSE_FIELDS: tuple[str, ...] = Course.__struct_fields__

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Course)


class CourseRefusal(StrEnum):
    """Why a record of the catalogue is refused: a closed list."""

    NOT_JSON = "not_json"
    BAD_ID = "bad_id"
    """No `course_id`, or one that is no string of 1–255 printable characters."""
    NO_TITLE = "no_title"
    """No `title`, or one that is no string."""
    SCHEMA = "schema"
    """Another field of another type."""
    BAD_KEY = "bad_key"
    """A tombstone whose key names no course."""


class InvalidCourse(InputError):
    """A record of the catalogue is refused.

    Attributes:
        reason: One of the closed list.
    """

    def __init__(self, reason: CourseRefusal, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def encode_course(course: Course) -> bytes:
    """The course as one JSON object in UTF-8; `decode_course` gives it back unchanged."""
    return _encoder.encode(course)


def decode_course(value: bytes) -> Course:
    """Decodes and validates one course; unknown fields are ignored.

    Args:
        value: One JSON object in UTF-8. A tombstone (null value) is the caller's to recognise.

    Raises:
        InvalidCourse: For anything that is not a valid course. Nothing else is raised.
    """
    try:
        course = _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidCourse(_reason(error), f"expected a course as one JSON object, received {error}") from None
    if not course.course_id.isprintable() or course.course_id.isspace():
        shown = course.course_id[:40]
        raise InvalidCourse(
            CourseRefusal.BAD_ID,
            f"expected a course_id of printable characters, not of blanks only, received {shown!r}",
        )
    return course


def _reason(error: Exception) -> CourseRefusal:
    if not isinstance(error, msgspec.ValidationError):
        return CourseRefusal.NOT_JSON
    message = str(error)
    for name, reason in (("course_id", CourseRefusal.BAD_ID), ("title", CourseRefusal.NO_TITLE)):
        if f"`{name}`" in message or f"`$.{name}`" in message:
            return reason
    return CourseRefusal.SCHEMA
