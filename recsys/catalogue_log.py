"""The catalogue as the records of the compacted `courses` topic make it; records that are no courses are counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import msgspec

from recsys.catalog import Course, CourseRefusal, InvalidCourse, decode_course

_text_decoder = msgspec.json.Decoder(str)
_QUOTE = b'"'
_SHOWN_CHARACTERS = 200


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
