"""The catalogue: one `Course`, and its form as the value of a record in the compacted `courses` topic.

Comes in: JSON bytes from Kafka. Goes out: frozen `Course` values, and a count of the records that are none. This module
reads no file and knows no data frame (`recsys.files` does), so the stream worker and the API may import it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
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
_text_decoder = msgspec.json.Decoder(str)
_QUOTE = b'"'
_SHOWN_CHARACTERS = 200


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


def unknown_prerequisites(courses: Iterable[Course]) -> Counter[str]:
    """Prerequisites that name no course of the catalogue, with how many courses ask for each.

    They bind nobody: a course stays recommendable whatever it asks for.
    """
    catalogue = {course.course_id: course for course in courses}
    return Counter(
        wanted for course in catalogue.values() for wanted in set(course.prerequisites) if wanted not in catalogue
    )


def prerequisite_remarks(courses: Iterable[Course]) -> list[str]:
    """A line where prerequisites name no course of the catalogue; none where all are known."""
    unknown = unknown_prerequisites(courses)
    if not unknown:
        return []
    example, count = min(unknown.items(), key=lambda item: (-item[1], item[0]))
    said = f"{len(unknown)} prerequisites name no course of it and bind nobody, such as {example[:40]!r}"
    return [f"catalogue: {said} (asked for by {count})"]


def decode_key(key: bytes | None) -> str | None:
    """The course id that a record's key is: the text itself, or a JSON string, as some serializers write it.

    Returns:
        None if the key is null, no text, or shows nothing.
    """
    if not key or key.isspace():
        return None
    try:
        return (_text_decoder.decode(key) if key.startswith(_QUOTE) else key.decode()) or None
    except UnicodeDecodeError:
        return None
    except msgspec.DecodeError:  # an id that begins with a quotation mark
        return key.decode("utf-8", "replace")


@dataclass(slots=True)
class Catalogue:
    """The catalogue as the records of its topic make it, each added in the order of the log.

    Attributes:
        courses: Course id → the newest valid state; a tombstone retires the course as it last was.
        retired: Course ids whose newest valid record is a tombstone, whether or not the log still holds that course.
        records: Records added, tombstones included.
        tombstones: Records with a null value that name a course, whether or not the log still holds that course.
        refused: `CourseRefusal` → records.
        examples: `CourseRefusal` → where the first of them lies, and what is wrong with it.
    """

    courses: dict[str, Course] = field(default_factory=dict)
    retired: set[str] = field(default_factory=set)
    records: int = 0
    tombstones: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, key: bytes | None, value: bytes | None, offset: int) -> None:
        """Takes one record; one that is no course is counted and changes nothing."""
        self.records += 1
        try:
            if value is None:
                self._retire(key)
            else:
                course = decode_course(value)
                self.courses[course.course_id] = course
                self.retired.discard(course.course_id)
        except InvalidCourse as error:
            self.refused[error.reason] += 1
            shown = (key or b"")[:40].decode("utf-8", "backslashreplace")
            self.examples.setdefault(error.reason, f"offset {offset}, key {shown!r}: {error}"[:_SHOWN_CHARACTERS])

    def remarks(self) -> list[str]:
        """A line for each reason why records were refused, with how many and an example; none where all are good."""
        return [
            f"catalogue: {count} of {self.records} records refused as {reason}, the first at {self.examples[reason]}"
            for reason, count in sorted(self.refused.items())
        ]

    def _retire(self, key: bytes | None) -> None:
        course_id = decode_key(key)
        if course_id is None:
            raise InvalidCourse(CourseRefusal.BAD_KEY, "expected the course id as the key of a tombstone")
        self.tombstones += 1
        self.retired.add(course_id)
        if course_id in self.courses:
            self.courses[course_id] = msgspec.structs.replace(self.courses[course_id], retired=True)


def _reason(error: Exception) -> CourseRefusal:
    if not isinstance(error, msgspec.ValidationError):
        return CourseRefusal.NOT_JSON
    message = str(error)
    for name, reason in (("course_id", CourseRefusal.BAD_ID), ("title", CourseRefusal.NO_TITLE)):
        if f"`{name}`" in message or f"`$.{name}`" in message:
            return reason
    return CourseRefusal.SCHEMA
