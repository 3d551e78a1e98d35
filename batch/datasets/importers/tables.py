"""Opening a publisher's files, with the errors of `recsys.files`; and what every importer builds rows from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from recsys.errors import InputError
from recsys.files import INTERACTION_COLUMNS

DIGEST_BYTES = 12


def find(source: Path, names: Sequence[str]) -> Path | None:
    """The first of these files in a folder (or beside a file of it); None where there is none.

    Raises:
        InputError: `source` does not exist.
    """
    if not source.exists():
        raise InputError(f"{source}: expected a file or a folder, received nothing there")
    folder = source if source.is_dir() else source.parent
    return next((folder / name for name in names if (folder / name).is_file()), None)


def require(source: Path, *names: str) -> Path:
    """As `find`, for a file that must be there.

    Raises:
        InputError: None of the names is there.
    """
    path = find(source, names)
    if path is None:
        raise InputError(f"{source}: expected {' or '.join(names)}, received a place without it")
    return path


def read_csv(path: Path, required: Sequence[str], **options: Any) -> pd.DataFrame:
    """A delimited file as text: every field a string, "" where empty.

    Raises:
        InputError: The file cannot be read or lacks a column.
    """
    try:
        frame: pd.DataFrame = pd.read_csv(path, dtype=object, keep_default_na=False, **options)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected a readable delimited file, received {error}") from None
    require_columns(frame, path, required)
    return frame.fillna("")


def require_columns(frame: pd.DataFrame, path: Path, required: Sequence[str]) -> None:
    """Checks that a table is the one it should be.

    Raises:
        InputError: A column is missing.
    """
    missing = [name for name in required if name not in frame.columns]
    if missing:
        raise InputError(
            f"{path}: expected the columns {', '.join(required)}, received {', '.join(map(str, frame.columns))};"
            f" missing {', '.join(missing)}"
        )


def numbers(frame: pd.DataFrame, name: str, path: Path) -> pd.Series[float]:
    """A text column as float64.

    Raises:
        InputError: Names the first row (counted from 1, without the header) that is no number.
    """
    parsed = pd.to_numeric(frame[name], errors="coerce")
    _refuse_first(parsed.isna(), frame[name], path, f"a number as {name}")
    return parsed.astype("float64")


def utc_milliseconds(frame: pd.DataFrame, name: str, path: Path) -> pd.Series[int]:
    """A column of `YYYY-MM-DD hh:mm:ss` without a zone, read as UTC, as int64 ms since 1970 UTC.

    Raises:
        InputError: Names the first row that is no such time.
    """
    parsed = pd.to_datetime(frame[name], format="%Y-%m-%d %H:%M:%S", errors="coerce")
    _refuse_first(parsed.isna(), frame[name], path, f"YYYY-MM-DD hh:mm:ss as {name}")
    return parsed.astype("datetime64[ms]").astype("int64")


def digests(columns: Sequence[pd.Series[Any]], kind: str) -> list[str]:
    """An event id for each row from what the row says: equal rows have equal ids, 24 hexadecimal digits."""
    rows = zip(*(column.astype(str) for column in columns), strict=True)
    return [hashlib.blake2b("\x1f".join((kind, *row)).encode(), digest_size=DIGEST_BYTES).hexdigest() for row in rows]


def interactions(**columns: Any) -> pd.DataFrame:
    """A frame with exactly `INTERACTION_COLUMNS` and their types, in order of time; absent columns are filled."""
    frame = pd.DataFrame({"value": float("nan"), **columns})
    for name in set(INTERACTION_COLUMNS) - set(frame.columns):
        frame[name] = None
    strings = [name for name in INTERACTION_COLUMNS if name not in {"timestamp", "value"}]
    frame = frame.astype({**dict.fromkeys(strings, object), "timestamp": "int64", "value": "float64"})
    return frame[list(INTERACTION_COLUMNS)].sort_values("timestamp", kind="stable", ignore_index=True)


def _refuse_first(wrong: pd.Series[bool], received: pd.Series[Any], path: Path, expected: str) -> None:
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise InputError(f"{path}, row {row + 1}: expected {expected}, received {str(received.iloc[row])[:80]!r}")
