"""A catalogue from one or more sources of any form, merged field by field; the first source is believed most.

A source is a JSON file of a form that `course_forms` knows (an array, an answer with `results` or `courses`, or one
object a line), or a neutral file (`courses.csv`, `.parquet`). Objects that are no course are counted by reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from batch.clean import EMPTY_TITLE
from batch.datasets.importers.course_forms import form_of, prerequisites_in_words
from batch.datasets.importers.results import FileReport, Imported, Refused
from batch.stages import Stage, silent
from batch.text_repair import is_visible
from recsys.catalog import Course, CourseRefusal, InvalidCourse, decode_course, encode_course
from recsys.course_merge import merge_courses
from recsys.errors import InputError
from recsys.files import course_frame, courses_in, read_courses
from recsys.prerequisites import prerequisite_remarks
from recsys.tables import FILE_FORMATS

MOST_BYTES = 1 << 30
_LISTS = ("results", "courses")


@dataclass(frozen=True, slots=True)
class MergedCourses:
    """A merged catalogue.

    Attributes:
        imported: Its frame, and a report for each source.
        remarks: A line for what is worth knowing of the whole.
    """

    imported: Imported
    remarks: tuple[str, ...]


def import_courses(sources: Sequence[Path], *, stage: Stage = silent) -> MergedCourses:
    """Reads and merges catalogues.

    Args:
        sources: Files, the one that is believed most first.
        stage: Shows progress.

    Raises:
        InputError: A file is missing, of no form that is known, or holds no course.
    """
    courses: list[Course] = []
    reports = []
    for path in sources:
        stage(path.name)
        found, report = _read(path)
        courses += found
        reports.append(report)
    merged = merge_courses(courses)
    return MergedCourses(
        Imported(None, course_frame(merged.values()), tuple(reports)), tuple(prerequisite_remarks(merged.values()))
    )


def _read(path: Path) -> tuple[list[Course], FileReport]:
    if path.suffix.lower().lstrip(".") in FILE_FORMATS:
        neutral = list(courses_in(read_courses(path)))
        return neutral, FileReport(path.name, len(neutral), len(neutral), {}, {}, {})
    found = _Found(path.name)
    for row in _rows(path):
        found.add(row)
    if not found.courses:
        known = "course-discovery, Moodle or Open edX's bus"
        raise InputError(f"{path}: expected courses of {known}, received {found.what()}")
    return found.courses, found.report()


@dataclass(slots=True)
class _Found:
    """What the objects of a file are so far."""

    name: str
    read: int = 0
    courses: list[Course] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    refused: dict[str, Refused] = field(default_factory=dict)
    in_words: int = 0
    first_in_words: int = 0

    def add(self, row: Any) -> None:
        self.read += 1
        reader = form_of(row) if isinstance(row, Mapping) else None
        if reader is None:
            self._refuse(CourseRefusal.SCHEMA, "expected an object with the fields of a course")
            return
        course = reader(row)
        if course is None:
            self.left_out["front page"] += 1
            return
        try:
            checked = decode_course(encode_course(course))
        except InvalidCourse as error:
            self._refuse(error.reason, "expected an id and fields of the known types")
            return
        if not is_visible(checked.title):
            self._refuse(EMPTY_TITLE, "expected a title that can be seen")
            return
        self.courses.append(checked)
        words = prerequisites_in_words(row)
        if words and not self.in_words:
            self.first_in_words = self.read
        self.in_words += words

    def what(self) -> str:
        """What came instead of courses, for a message."""
        return "; ".join(found.example for found in self.refused.values()) or f"{self.read} objects"

    def report(self) -> FileReport:
        """The account of the file."""
        example = f"row {self.first_in_words}: expected the key of a course"
        repaired = {"prerequisites in words left out": Refused(self.in_words, example)} if self.in_words else {}
        return FileReport(self.name, self.read, len(self.courses), dict(self.left_out), self.refused, repaired)

    def _refuse(self, reason: str, expected: str) -> None:
        earlier = self.refused.get(reason)
        example = f"row {self.read}: {expected}" if earlier is None else earlier.example
        self.refused[str(reason)] = Refused(1 if earlier is None else earlier.rows + 1, example)


def _rows(path: Path) -> Iterator[Any]:
    """The objects of a JSON file.

    Raises:
        InputError: The file is missing, too large or no JSON.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"{path}: expected at most {MOST_BYTES} bytes, received {path.stat().st_size}")
        content = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    except OSError as error:
        raise InputError(f"{path}: expected a readable file, received: {error.strerror}") from None
    try:
        whole = msgspec.json.decode(content)
    except (ValueError, RecursionError):
        yield from _lines(path, content)
        return
    if isinstance(whole, Mapping):
        whole = next((whole[name] for name in _LISTS if isinstance(whole.get(name), list)), [whole])
    yield from whole if isinstance(whole, list) else [whole]


def _lines(path: Path, content: bytes) -> Iterator[Any]:
    for number, line in enumerate(content.splitlines(), 1):
        if line.strip():
            try:
                yield msgspec.json.decode(line)
            except (ValueError, RecursionError):
                expected = "JSON, whole or an object a line"
                raise InputError(f"{path}: expected {expected}, received none (line {number})") from None
