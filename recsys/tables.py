"""Tables from files: the one reader of delimited text and Parquet, for the neutral files and for every importer.

A table is read as it stands or refused; a field is never moved into another column. Text fields stay text, "" where
empty; Parquet columns keep the type of the file. What a column must hold is decided by who asked for it
(`recsys.columns` for the neutral files, `batch.datasets.importers.reading` for publishers' files).

Refused are: a row with more or fewer fields than the header, a column name given twice, a missing column, bytes that
are no text in any of the layout's encodings or are another kind of file, quotes that do not match. Read right are:
blanks around header names (then also those around fields), invisible characters around them, lines without anything
but blanks, a header line where a layout has its own names, and a delimiter at the end of every row. Lines end at a line
feed only: the other characters that Unicode counts as line breaks (U+0085, U+2028) occur inside titles.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, TextIO

import pandas as pd

from recsys.errors import InputError
from recsys.file_kinds import LONGEST_SIGNATURE, kind_of

FILE_FORMATS = ("csv", "parquet")
CHUNK_ROWS = 100_000
MAX_FIELD_CHARS = 16 * 1024 * 1024
_CHUNK_BYTES = 1 << 20
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_UTF8_SEQUENCE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_HIGH_BYTE = re.compile(rb"[\x80-\xff]")
_WINDOWS_BYTE = re.compile(rb"[\x80-\x84\x86-\x9f]")
_INVISIBLE_ENDS = re.compile(r"^[\s\ufeff\u200b-\u200f\u2060]+|[\s\ufeff\u200b-\u200f\u2060]+$")
_SHOWN_CHARACTERS = 300

Progress = Callable[[int, int], None]
"""Called with bytes read and bytes in all."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a table is written as text.

    Attributes:
        names: The columns of a file without a header line; empty where the first line names them.
        separators: Where fields part. With a header, the first one that gives the required columns is taken.
        quoted: Whether a field may stand in quotes, as in CSV; False where the separator parts fields wherever it is.
        encodings: Tried in turn on the whole file; a byte order mark decides before them.
    """

    names: tuple[str, ...] = ()
    separators: tuple[str, ...] = (",", ";", "\t")
    quoted: bool = True
    encodings: tuple[str, ...] = ("utf-8",)


CSV = Layout()


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
        raise InputError(f"{path}: expected a readable {kind} file, received {_line(error)}") from None
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
    encoding = _encoding(path, layout.encodings)
    total = path.stat().st_size
    with path.open("rb") as raw, io.TextIOWrapper(raw, encoding, newline="\n") as file:
        header, separator, is_padded, first_line = _header(file, required, layout)
        names = _checked_names(header, path)
        require_columns(pd.DataFrame(columns=names), path, required)
        lines = _quoted_rows(file, separator, is_padded) if layout.quoted else _plain_rows(file, separator)
        if layout.names:
            lines = _without_header(lines, names)
        first = next(lines, (0, names))
        if len(first[1]) == len(names) - 1 and not header[-1].strip():
            names.pop()  # the delimiter ends the header line alone
        started = [first] if first[1] is not names else []
        hint = "; a delimiter inside a field needs quotes around the field" if layout.quoted else ""
        rows = _rows_of_one_width(chain(started, lines), first[1], names, path, first_line, hint)
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


def _header(file: TextIO, required: Sequence[str], layout: Layout) -> tuple[list[str], str, bool, int]:
    """The names as written, the separator, whether blanks stand around the names, and the number of the next line."""
    if layout.names:
        return list(layout.names), layout.separators[0], False, 1
    number, line = next(((number, line) for number, line in enumerate(file, start=1) if line.strip()), (1, ""))
    for separator in (*layout.separators, layout.separators[0]):
        header = next(csv.reader([line], delimiter=separator, strict=True, skipinitialspace=True), [])
        if set(required) <= set(map(_visible, header)):
            break
    is_padded = any(part != part.strip() for part in line.rstrip("\r\n").split(separator))
    return header, separator, is_padded, number + 1


def _without_header(lines: Iterator[tuple[int, list[str]]], names: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """The rows of a file that has its layout's names by right, without a first row that repeats them."""
    first = next(lines, None)
    if first is not None and [_visible(name).casefold() for name in first[1]] != [name.casefold() for name in names]:
        yield first
    yield from lines


def _visible(name: str) -> str:
    """A name without blanks, byte order marks and other invisible characters around it."""
    return _INVISIBLE_ENDS.sub("", name)


def _checked_names(header: Sequence[str], path: Path) -> list[str]:
    """The names without anything invisible around them; a column without a name gets one that nobody asks for."""
    names = [_visible(name) for name in header]
    twice = next((name for place, name in enumerate(names) if name and name in names[:place]), None)
    if twice is not None:
        raise InputError(f"{path}: the header names the column {twice!r} twice; rename or remove one of the two")
    return [name or f"(column {place})" for place, name in enumerate(names, start=1)]


def _quoted_rows(file: TextIO, separator: str, is_padded: bool) -> Iterator[tuple[int, list[str]]]:
    """Line number after the header, and fields, of each row of a CSV file that is no empty line."""
    csv.field_size_limit(MAX_FIELD_CHARS)
    lines = csv.reader(file, delimiter=separator, strict=True, skipinitialspace=is_padded)
    last = 0
    try:
        for row in lines:
            if len(row) > 1 or (row and row[0].strip()):
                yield last, [field.strip() for field in row] if is_padded else row
            last = lines.line_num
    except csv.Error as error:
        raise InputError(
            f"{file.name}: expected a readable csv file, received {_line(error)} (line {last + 2})"
        ) from None


def _plain_rows(file: TextIO, separator: str) -> Iterator[tuple[int, list[str]]]:
    """The same for a file in which quotes mean nothing."""
    for number, line in enumerate(file):
        content = line.removesuffix("\n").removesuffix("\r")
        if content.strip():
            yield number, content.split(separator)


def _rows_of_one_width(
    lines: Iterator[tuple[int, list[str]]], first: list[str], names: list[str], path: Path, first_line: int, hint: str
) -> Iterator[list[str]]:
    """The rows, each as wide as the header; a delimiter at the end is allowed where every row has it.

    The first row decides: a later row that is written in another way may have lost or gained a field in its middle.
    """
    width = len(names)
    ends_in_delimiter = len(first) == width + 1 and not first[-1].strip()
    expected = width + 1 if ends_in_delimiter else width
    for row_number, (line, row) in enumerate(lines, start=1):
        if len(row) != expected or (ends_in_delimiter and row[-1].strip()):
            is_open = ends_in_delimiter and len(row) == width
            said = f"{width} fields" + " and a delimiter at the end, as in row 1" * is_open
            received = f"{len(row)} without one" if is_open else f"{len(row)}"
            raise InputError(
                f"{path}, row {row_number}: expected {said}, received {received} (line {line + first_line}{hint})"
            )
        yield row[:width] if ends_in_delimiter else row


def _encoding(path: Path, encodings: Sequence[str]) -> str:
    """The first encoding that the whole file can be decoded by.

    Raises:
        InputError: None fits, or the file is UTF-8 with some damaged bytes, which another encoding would hide.
    """
    with path.open("rb") as file:
        beginning = file.read(LONGEST_SIGNATURE)
    kind = kind_of(beginning)
    if kind is not None:
        raise InputError(f"{path}: expected delimited text, received {kind}")
    if beginning[:2] in _UTF16_MARKS:
        return "utf-16"
    first, *others = (_failure(path, encoding) for encoding in encodings)
    if first is None:
        return "utf-8-sig" if encodings[0] == "utf-8" else encodings[0]
    fallback = next((name for name, failed in zip(encodings[1:], others, strict=True) if failed is None), None)
    if fallback == "latin-1" and _has_windows_bytes(path):
        fallback = None if _failure(path, "cp1252") else "cp1252"
    if fallback is None or _is_damaged_utf8(path):
        raise InputError(f"{path}: expected a readable csv file, received {first}")
    return fallback


def _has_windows_bytes(path: Path) -> bool:
    """Whether there are bytes that Latin-1 has for control characters and Windows-1252 for dashes and quotation marks.

    0x85 alone proves nothing: in Latin-1 it is a line break of old systems (U+0085).
    """
    with path.open("rb") as file:
        return any(_WINDOWS_BYTE.search(block) for block in _blocks(file))


def _failure(path: Path, encoding: str) -> str | None:
    """What is wrong with the first line that cannot be decoded; None where all can."""
    decoder = codecs.getincrementaldecoder(encoding)()
    line = 1
    with path.open("rb") as file:
        for block in _blocks(file):
            try:
                decoder.decode(block)
            except UnicodeDecodeError as error:
                line += block.count(b"\n", 0, error.start)
                return f"{encoding!r} cannot decode byte 0x{error.object[error.start]:02x} (line {line})"
            line += block.count(b"\n")
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return f"{encoding!r} cannot decode the end of the file (line {line})"
    return None


def _is_damaged_utf8(path: Path) -> bool:
    """Whether most of the bytes beyond ASCII are whole UTF-8 sequences."""
    whole = stray = 0
    with path.open("rb") as file:
        for line in file:
            rest, found = _UTF8_SEQUENCE.subn(b"", line)
            whole += found
            stray += len(_HIGH_BYTE.findall(rest))
    return whole > stray


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(_CHUNK_BYTES):
        yield block


def _shown(text: str) -> str:
    """Text of a file for a message: not too long, and no character in it that steers a terminal."""
    cut = text[:_SHOWN_CHARACTERS] + "…" * (len(text) > _SHOWN_CHARACTERS)
    return "".join(character if character.isprintable() else "\ufffd" for character in cut)


def _line(error: Exception) -> str:
    if "new-line character" in str(error):
        return "a carriage return outside quotes (lines have to end in line feeds)"
    return " ".join(str(error).split())[:200] or type(error).__name__
