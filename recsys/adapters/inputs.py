"""The files given beside a log: who is staff, how many blocks a course has, which courses there are."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from recsys.adapters.course_keys import course_run
from recsys.adapters.staff import EVERYWHERE, Role, Staff
from recsys.errors import InputError
from recsys.process.atomic import write_atomically

MOST_BYTES = 64 << 20


def read_staff(path: Path) -> Staff:
    """Staff from CSV with the columns `user_id,course_id`, or a JSON list of objects with these fields.

    `course_id` is a course or a run of it, an organisation, or `*` for everything.

    Raises:
        InputError: The file is missing or of another form.
    """
    staff = Staff()
    for user_id, course in _pairs(path, ("user_id", "course_id")):
        for role in _roles(user_id, course):
            staff.add(role)
    return staff


def write_staff(path: Path, staff: Staff) -> None:
    """Writes what `read_staff` reads, whole or not at all.

    Raises:
        InputError: It cannot be written.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("user_id", "course_id"))
    rows.writerows((role.user_id, role.org or role.course_id) for role in staff)
    try:
        write_atomically(path, text.getvalue().encode())
    except OSError as error:
        raise InputError(f"{path}: expected a file that can be written, received: {error.strerror}") from None


def read_blocks(path: Path) -> dict[str, int]:
    """How many blocks can be completed, from CSV with the columns `course_id,blocks` or a JSON object.

    Returns:
        Run or course (`Org+Course`) → blocks.

    Raises:
        InputError: The file is missing or of another form, or a number is none or below 1.
    """
    blocks: dict[str, int] = {}
    for course, number in _pairs(path, ("course_id", "blocks")):
        if not (number.isascii() and number.isdigit() and int(number) > 0):
            raise InputError(f"{path}: expected a whole number from 1 as blocks of {course}, received {number[:40]!r}")
        run = course_run(course)
        blocks[course if run is None else run.run_id or run.course_id] = int(number)
    return blocks


def read_course_ids(path: Path) -> frozenset[str]:
    """The ids of a catalogue of the neutral form (`courses.csv` or `.parquet`).

    Raises:
        InputError: As `recsys.files.read_courses`.
    """
    from recsys.files import read_courses  # noqa: PLC0415 - pandas, which only this needs

    return frozenset(read_courses(path)["course_id"])


def _roles(user_id: str, course: str) -> Iterable[Role]:
    run = course_run(course)
    if course == EVERYWHERE:
        return (Role(user_id, EVERYWHERE),)
    if run is not None:
        return (Role(user_id, run.course_id),)
    return (
        Role(user_id, course),
        Role(user_id, EVERYWHERE, course),
    )  # a course of another platform, or an organisation


def _pairs(path: Path, columns: tuple[str, str]) -> Iterable[tuple[str, str]]:
    """The two columns of every row as text, blanks around them removed."""
    try:
        content = path.read_bytes()
        if len(content) > MOST_BYTES:
            raise InputError(f"{path}: expected at most {MOST_BYTES} bytes, received {len(content)}")
        text = content.decode("utf-8-sig")
    except (OSError, UnicodeError) as error:
        raise InputError(f"{path}: expected a readable UTF-8 file, received {type(error).__name__}") from None
    rows = _json_rows(path, text, columns) if text.lstrip()[:1] in {"{", "["} else _csv_rows(path, text, columns)
    for number, row in enumerate(rows, 1):
        first, second = (str(row[name]).strip() if row.get(name) is not None else "" for name in columns)
        if not first or not second:
            raise InputError(f"{path}: expected {' and '.join(columns)} in every row, received row {number} without")
        yield first, second


def _json_rows(path: Path, text: str, columns: tuple[str, str]) -> list[Mapping[str, Any]]:
    try:
        found = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        return [dict(zip(columns, pair, strict=True)) for pair in found.items()]
    if isinstance(found, list) and all(isinstance(row, dict) for row in found):
        return found
    raise InputError(f"{path}: expected a JSON object, or a list of objects with {' and '.join(columns)}")


def _csv_rows(path: Path, text: str, columns: tuple[str, str]) -> list[Mapping[str, Any]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True)
    try:
        names = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = names
        if not set(columns) <= set(names):
            raise InputError(f"{path}: expected the columns {', '.join(columns)}, received {', '.join(names)[:200]}")
        return list(reader)
    except csv.Error as error:
        raise InputError(f"{path}: expected a readable CSV file, received: {error}") from None
