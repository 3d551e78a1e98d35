"""Delimited text as rows of fields: the layout, the header, and rows that are all as wide as it.

A field is never moved into another column: a row of another width is refused with its line. Lines end at a line feed
only: the other characters that Unicode counts as line breaks (U+0085, U+2028) occur inside titles.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from recsys.errors import InputError

MAX_FIELD_CHARS = 16 * 1024 * 1024
_INVISIBLE_ENDS = re.compile(r"^[\s\ufeff\u200b-\u200f\u2060]+|[\s\ufeff\u200b-\u200f\u2060]+$")


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


def visible(name: str) -> str:
    """A name without blanks, byte order marks and other invisible characters around it."""
    return _INVISIBLE_ENDS.sub("", name)


def header_of(file: TextIO, required: Sequence[str], layout: Layout) -> tuple[list[str], str, bool, int]:
    """The names as written, the separator, whether blanks stand around the names, and the number of the next line."""
    if layout.names:
        return list(layout.names), layout.separators[0], False, 1
    number, line = next(((number, line) for number, line in enumerate(file, start=1) if line.strip()), (1, ""))
    for separator in (*layout.separators, layout.separators[0]):
        header = next(csv.reader([line], delimiter=separator, strict=True, skipinitialspace=True), [])
        if set(required) <= set(map(visible, header)):
            break
    is_padded = any(part != part.strip() for part in line.rstrip("\r\n").split(separator))
    return header, separator, is_padded, number + 1


def without_header(lines: Iterator[tuple[int, list[str]]], names: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """The rows of a file that has its layout's names by right, without a first row that repeats them."""
    first = next(lines, None)
    if first is not None and [visible(name).casefold() for name in first[1]] != [name.casefold() for name in names]:
        yield first
    yield from lines


def quoted_rows(file: TextIO, separator: str, is_padded: bool) -> Iterator[tuple[int, list[str]]]:
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
            f"{file.name}: expected a readable csv file, received {one_line(error)} (line {last + 2})"
        ) from None


def plain_rows(file: TextIO, separator: str) -> Iterator[tuple[int, list[str]]]:
    """The same for a file in which quotes mean nothing."""
    for number, line in enumerate(file):
        content = line.removesuffix("\n").removesuffix("\r")
        if content.strip():
            yield number, content.split(separator)


def rows_of_one_width(
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


def one_line(error: Exception) -> str:
    """What a reader of files said, as part of a message."""
    if "new-line character" in str(error):
        return "a carriage return outside quotes (lines have to end in line feeds)"
    return " ".join(str(error).split())[:200] or type(error).__name__
