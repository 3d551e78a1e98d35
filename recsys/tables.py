"""Tables from files: the one reader of delimited text and Parquet, for the neutral files and for every importer.

A table is read as it stands or refused; a field is never moved into another column. Text fields stay text, "" where
empty; Parquet columns keep the type of the file. What a column must hold is decided by who asked for it
(`recsys.columns` for the neutral files, `batch.datasets.importers.fields` for publishers' files).

Refused are: a row with more or fewer fields than the header, a column name given twice, a missing column, bytes that
are no text in any of the layout's encodings or are another kind of file, quotes that do not match. Read as meant are:
blanks around header names (then also those around fields), invisible characters around them, lines without anything
but blanks, a header line where a layout has its own names, and a delimiter at the end of every row.
How text becomes rows is in `recsys.delimited`, how its encoding is found in `recsys.text_encodings`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, islice
from pathlib import Path

import pandas as pd

from recsys.delimited import (
    CSV,
    Layout,
    header_of,
    one_line,
    plain_rows,
    quoted_rows,
    rows_of_one_width,
    visible,
    without_header,
)
from recsys.errors import InputError
from recsys.text_encodings import encoding_of

FILE_FORMATS = ("csv", "parquet")
CHUNK_ROWS = 100_000
_SHOWN_CHARACTERS = 300

Progress = Callable[[int, int], None]
"""Called with bytes read and bytes in all."""


def no_progress(_done: int, _total: int) -> None:
    """A `Progress` that nobody watches."""


def read_table(
    path: Path, required: Sequence[str], layout: Layout = CSV, *, progress: Progress = no_progress
) -> pd.DataFrame:
    """Reads a Parquet file (by its suffix) or a delimited file.

    Args:
        path: The file.
        required: Columns that must be there; others are read, too.
        layout: Of a delimited file.
        progress: Told about the bytes of a delimited file.

    Returns:
        The rows in file order, index 0…n−1. Columns of a delimited file have the dtype `str`, "" where empty.

    Raises:
        InputError: The file is missing, unreadable or not of the layout; names the file, and the row (counted from 1,
            without the header and empty lines) with its line where one row is at fault.
    """
    if not path.is_file():
        raise InputError(f"{path}: expected a file, received {'a folder' if path.is_dir() else 'nothing there'}")
    kind = path.suffix.lower().lstrip(".") or "text"
    try:
        frame = pd.read_parquet(path) if kind == "parquet" else _read_delimited(path, required, layout, progress)
    # pyarrow and the codecs derive their errors from these.
    except (OSError, ValueError, KeyError, TypeError, NotImplementedError, csv.Error) as error:
        raise InputError(f"{path}: expected a readable {kind} file, received {one_line(error)}") from None
    if any(name is not None for name in frame.index.names):  # a Parquet file of pandas with columns as its index
        frame = frame.reset_index()
    frame.columns = pd.Index(_checked_names([str(name) for name in frame.columns], path))
    require_columns(frame, path, required)
    return frame.reset_index(drop=True)


def require_columns(frame: pd.DataFrame, path: Path, required: Iterable[str]) -> None:
    """Checks that a table is the one it should be.

    Raises:
        InputError: A column is missing.
    """
    missing = [name for name in required if name not in frame.columns]
    if missing:
        received = _shown(", ".join(map(str, frame.columns))) or "an empty file"
        raise InputError(
            f"{path}: expected the columns {', '.join(required)}, received {received}; missing {', '.join(missing)}"
        )


def _read_delimited(path: Path, required: Sequence[str], layout: Layout, progress: Progress) -> pd.DataFrame:
    encoding = encoding_of(path, layout.encodings)
    total = path.stat().st_size
    with path.open("rb") as raw, io.TextIOWrapper(raw, encoding, newline="\n") as file:
        header, separator, is_padded, first_line = header_of(file, required, layout)
        names = _checked_names(header, path)
        require_columns(pd.DataFrame(columns=names), path, required)
        lines = quoted_rows(file, separator, is_padded) if layout.quoted else plain_rows(file, separator)
        if layout.names:
            lines = without_header(lines, names)
        first = next(lines, (0, names))
        if len(first[1]) == len(names) - 1 and not header[-1].strip():
            names.pop()  # the delimiter ends the header line alone
        started = [first] if first[1] is not names else []
        hint = "; a delimiter inside a field needs quotes around the field" if layout.quoted else ""
        rows = rows_of_one_width(chain(started, lines), first[1], names, path, first_line, hint)
        chunks = [pd.DataFrame({name: pd.Series([], dtype="str") for name in names})]
        while chunk := list(islice(rows, CHUNK_ROWS)):
            columns = zip(*chunk, strict=True)
            chunks.append(
                pd.DataFrame(
                    {name: pd.Series(column, dtype="str") for name, column in zip(names, columns, strict=True)}
                )
            )
            progress(raw.tell(), total)
    return pd.concat(chunks, ignore_index=True)


def _checked_names(header: Sequence[str], path: Path) -> list[str]:
    """The names without anything invisible around them; a column without a name gets one that nobody asks for."""
    names = [visible(name) for name in header]
    twice = next((name for place, name in enumerate(names) if name and name in names[:place]), None)
    if twice is not None:
        raise InputError(f"{path}: the header names the column {twice!r} twice; rename or remove one of the two")
    return [name or f"(column {place})" for place, name in enumerate(names, start=1)]


def _shown(text: str) -> str:
    """Text of a file for a message: not too long, and no character in it that steers a terminal."""
    cut = text[:_SHOWN_CHARACTERS] + "…" * (len(text) > _SHOWN_CHARACTERS)
    return "".join(character if character.isprintable() else "\ufffd" for character in cut)
