"""The neutral files: `interactions.{csv,parquet}` and `courses.{csv,parquet}` to data frames and back.

Readers check that the columns are there and that each row can be read as its type; whether a row is a valid event is
decided by `recsys.events.from_mapping` and, for whole frames, by `batch.clean`. Writers are atomic: a reader sees the
old file or the new one. Only `batch` and `infra` import this module; the stream worker and the API need no pandas.

Ids are strings from the first byte on: `007` keeps its zeros and no id ever becomes `123.0`. In a frame, `skills` and
the other lists of texts are tuples of strings; in both file formats each is one string joined by "; " (a Parquet list
column is read too). `runs` and `paths` are tuples of structs in a frame and JSON text in a file. An absent number of a
course is None.
"""

from __future__ import annotations

import csv
import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd

from recsys.catalog import COURSE_FIELDS, Course, PathPosition, Run
from recsys.columns import (
    absent_as_none,
    booleans,
    is_written_list,
    milliseconds,
    numbers,
    optional_numbers,
    skill_ends,
    skills,
    strings,
    structs,
)
from recsys.errors import InputError
from recsys.tables import FILE_FORMATS, read_table, require_columns

INTERACTION_COLUMNS = (
    "event_id",
    "user_id",
    "course_id",
    "type",
    "timestamp",
    "value",
    "session_id",
    "user_agent",
    "into",
)
REQUIRED_INTERACTION_COLUMNS = INTERACTION_COLUMNS[:5]
COURSE_COLUMNS = COURSE_FIELDS
REQUIRED_COURSE_COLUMNS = ("course_id", "title")
_COURSE_TEXTS = ("title", "intro", "category", "level", "language", "org", "tenant", "certificate", "url", "image_url")
_COURSE_LISTS = (
    "skills",
    "languages",
    "subtitles",
    "prerequisites",
    "instructors",
    "countries_allow",
    "countries_block",
)
_COURSE_STRUCTS: dict[str, type[Run | PathPosition]] = {"runs": Run, "paths": PathPosition}
_COURSE_NUMBERS = ("effort_hours", "duration_weeks")
_COURSE_WHOLE_NUMBERS = ("min_age", "created_at")
SKILL_SEPARATOR = "; "


def read_interactions(path: Path) -> pd.DataFrame:
    """Reads learners' events.

    Returns:
        Exactly the columns of `INTERACTION_COLUMNS`: `event_id`, `user_id`, `course_id`, `type` (object of str),
        `timestamp` (int64, ms since 1970 UTC), `value` (float64, NaN where absent), `session_id`, `user_agent` and
        `into` (object, None where absent). Index 0…n−1, file order.

    Raises:
        InputError: The file is missing or unreadable, lacks a column, or has a row that does not hold its types;
            names the file, the row (counted from 1, without the header), what was expected and received.
    """
    frame = _read(path, REQUIRED_INTERACTION_COLUMNS, INTERACTION_COLUMNS)
    columns: dict[str, Any] = {}
    for name in REQUIRED_INTERACTION_COLUMNS[:4]:
        columns[name] = strings(frame[name], path, null="" if name == "course_id" else None)
    columns["timestamp"] = milliseconds(frame["timestamp"], path)
    columns["value"] = numbers(frame["value"], path) if "value" in frame else float("nan")
    for name in ("session_id", "user_agent", "into"):
        columns[name] = absent_as_none(strings(frame[name], path, null="")) if name in frame else None
    read = pd.DataFrame(columns, columns=list(INTERACTION_COLUMNS), index=frame.index)
    return read.astype({"value": "float64", "session_id": object, "user_agent": object, "into": object})


def read_courses(path: Path) -> pd.DataFrame:
    """Reads a catalogue.

    Returns:
        Exactly the columns of `COURSE_COLUMNS`: strings, "" where absent; lists as tuples of str, `runs` and `paths`
        as tuples of structs, () where absent; numbers, None where absent; `retired` bool. Further columns of the file
        are ignored. Index 0…n−1, file order.

    Raises:
        InputError: As `read_interactions` does.
    """
    frame = _read(path, REQUIRED_COURSE_COLUMNS, COURSE_COLUMNS)
    columns: dict[str, Any] = {"course_id": strings(frame["course_id"], path)}
    for name in _COURSE_TEXTS:
        columns[name] = strings(frame[name], path, null="") if name in frame else ""
    for name in _COURSE_LISTS:
        columns[name] = skills(frame[name], path) if name in frame else [()] * len(frame)
    for name, kind in _COURSE_STRUCTS.items():
        columns[name] = structs(frame[name], path, kind) if name in frame else [()] * len(frame)
    for name in (*_COURSE_NUMBERS, *_COURSE_WHOLE_NUMBERS):
        as_type = int if name in _COURSE_WHOLE_NUMBERS else float
        columns[name] = optional_numbers(frame[name], path, as_type) if name in frame else None
    columns["retired"] = booleans(frame["retired"], path) if "retired" in frame else False
    return pd.DataFrame(columns, columns=list(COURSE_COLUMNS), index=frame.index)


def write_interactions(frame: pd.DataFrame, path: Path) -> None:
    """Writes learners' events as CSV or Parquet, by suffix; absent values become empty fields or nulls.

    A column `into` is written only where an event has a value there.

    Raises:
        InputError: A column is missing, the suffix is another one, or the folder cannot be written.
    """
    require_columns(frame, path, INTERACTION_COLUMNS[:-1])
    merges = "into" in frame and bool(frame["into"].notna().any())
    _write(frame[list(INTERACTION_COLUMNS if merges else INTERACTION_COLUMNS[:-1])], path)


def write_courses(frame: pd.DataFrame, path: Path) -> None:
    """Writes a catalogue as CSV or Parquet, by suffix; lists of texts are joined by "; ", structs become JSON text.

    Raises:
        InputError: As `write_interactions` does.
    """
    require_columns(frame, path, COURSE_COLUMNS)
    columns: dict[str, Any] = {name: [_joined(texts) for texts in frame[name]] for name in _COURSE_LISTS}
    columns |= {
        name: [msgspec.json.encode(values).decode() if values else "" for values in frame[name]]
        for name in _COURSE_STRUCTS
    }
    columns |= {name: frame[name].astype("float64") for name in _COURSE_NUMBERS}
    columns |= {name: frame[name].astype("Int64") for name in _COURSE_WHOLE_NUMBERS}
    _write(frame[list(COURSE_COLUMNS)].assign(**columns), path)


def courses_in(frame: pd.DataFrame) -> Iterator[Course]:
    """The rows of a catalogue frame as `Course` values.

    Raises:
        InputError: A row cannot be a course (an empty or too long `course_id`, for one).
    """
    for row in frame[list(COURSE_COLUMNS)].to_dict("records"):
        try:
            yield msgspec.convert(row, Course)
        except msgspec.ValidationError as error:
            raise InputError(f"course {str(row['course_id'])[:40]!r}: {error}") from None


def course_frame(courses: Iterable[Course]) -> pd.DataFrame:
    """Courses as the frame `read_courses` would give."""
    rows = [msgspec.structs.asdict(course) for course in courses]  # structs inside stay structs
    return pd.DataFrame(rows, columns=list(COURSE_COLUMNS), dtype=object).astype({"retired": bool})


def _joined(texts: Iterable[str]) -> str:
    """The texts as one field; a separator at the end tells the skill "[None]" from a list that a program wrote."""
    joined = SKILL_SEPARATOR.join(map(_as_one_skill, texts))
    return f"{joined};" if is_written_list(joined) else joined


def _as_one_skill(skill: str) -> str:
    """The text with a comma for each semicolon that would part it in two when read."""
    ends = set(skill_ends(skill))
    return "".join("," if place in ends else character for place, character in enumerate(skill)) if ends else skill


def _read(path: Path, required: tuple[str, ...], known: Sequence[str]) -> pd.DataFrame:
    """The table, with every known column that it has under its own name.

    Raises:
        InputError: A column has nearly the name of a known one that is absent: read as it stands, it would be ignored.
    """
    _suffix(path)
    frame = read_table(path, required)
    absent = {_folded(name): name for name in known if name not in frame}
    mistaken = next((name for name in map(str, frame) if _folded(name) in absent), None)
    if mistaken is not None:
        raise InputError(f"{path}: expected the column {absent[_folded(mistaken)]}, received {mistaken!r}; rename it")
    return frame


def _folded(name: str) -> str:
    return "".join(character for character in name.casefold() if character.isalnum())


def _suffix(path: Path) -> str:
    suffix = path.suffix.lower().lstrip(".")
    if suffix not in FILE_FORMATS:
        raise InputError(f"{path}: expected a name ending in .csv or .parquet, received {path.suffix!r}")
    return suffix


def _to_csv(frame: pd.DataFrame, path: Path) -> None:
    texts = frame.select_dtypes(exclude="number")
    carriage_return = any(isinstance(value, str) and "\r" in value for name in texts for value in texts[name])
    # Quoting only what needs it would leave a lone carriage return bare, and readers end the row there.
    if carriage_return:
        frame.to_csv(path, index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    else:
        frame.to_csv(path, index=False, lineterminator="\n")


def _write(frame: pd.DataFrame, path: Path) -> None:
    suffix = _suffix(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if suffix == "csv":
            _to_csv(frame, temporary)
        else:
            frame.to_parquet(temporary, index=False)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"{path}: expected a place that can be written, received {error.strerror}") from None
    finally:
        temporary.unlink(missing_ok=True)
