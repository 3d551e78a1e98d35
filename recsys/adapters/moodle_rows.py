"""Exports of a Moodle table as rows, each a JSON object: CSV with a header, JSON lines, or a JSON array."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

import msgspec

from recsys.adapters.lines import Line
from recsys.adapters.outcomes import Refused
from recsys.errors import RefusalReason
from recsys.nesting import MAX_DEPTH, nests_deeper

REQUIRED: Final = "eventname"
"""The column that every export of the log has, by which a header is told from a row."""

_TAB: Final = "\t"
_SEPARATORS: Final = (",", ";", _TAB, "|")
_JSON_BEGINS: Final = (b"{", b"[")


def row_lines(lines: Iterator[Line]) -> Iterator[Line]:
    """Each row as a line that holds a JSON object; what is no row passes as it is, for the adapter to refuse."""
    first = next(lines, None)
    if first is None:
        return
    whole = chain((first,), lines)
    if first.problem is not None or first.content.startswith(_JSON_BEGINS):
        yield from _json_rows(whole)
        return
    header = _header(first)
    yield from whole if header is None else _csv_rows(lines, *header)


def _json_rows(lines: Iterable[Line]) -> Iterator[Line]:
    for line in lines:
        parts = _parts(line.content)
        if parts is None:
            yield line
        else:
            yield from (Line(line.number, bytes(part)) for part in parts)


def _parts(content: bytes) -> list[msgspec.Raw] | None:
    if not content.startswith(b"[") or nests_deeper(content, MAX_DEPTH + 1):
        return None
    try:
        return _array.decode(content)
    except (ValueError, RecursionError):
        return None


_array = msgspec.json.Decoder(list[msgspec.Raw])


def _header(line: Line) -> tuple[list[str], str] | None:
    """The columns and what parts them; None where the line names no `eventname`."""
    text = line.content.decode("utf-8", "replace")
    for separator in _SEPARATORS:
        try:
            cells = next(csv.reader([text], delimiter=separator), [])
        except csv.Error:  # a carriage return within the line
            return None
        names = [name.strip().lower() for name in cells]
        if REQUIRED in names:
            return names, separator
    return None


def _csv_rows(lines: Iterator[Line], names: list[str], separator: str) -> Iterator[Line]:
    """Rows of CSV, also where a quoted field goes on over several lines."""
    source = _Source(lines)
    rows = csv.reader(source, delimiter=separator)
    while True:
        try:
            row = next(rows)
        except StopIteration:
            break
        except csv.Error as error:
            yield Line(source.number, b"", Refused(RefusalReason.SCHEMA, f"expected a row of CSV: {error}"))
            continue
        yield from source.problems()
        if separator == _TAB:
            row += [""] * (len(names) - len(row))  # empty cells at the end are lost with the blanks around a line
        if len(row) != len(names):
            expected = f"expected a row of {len(names)} fields, received {len(row)}"
            yield Line(source.number, b"", Refused(RefusalReason.SCHEMA, expected))
        else:
            yield Line(source.number, msgspec.json.encode(dict(zip(names, row, strict=True))))
    yield from source.problems()


class _Source:
    """Lines as text for `csv.reader`, keeping the number of the last one and those that cannot be read."""

    def __init__(self, lines: Iterator[Line]) -> None:
        self._lines = lines
        self._problems: list[Line] = []
        self.number = 1

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self.number = line.number
            if line.problem is None:
                yield line.content.decode("utf-8", "replace") + "\n"
            else:
                self._problems.append(line)

    def problems(self) -> list[Line]:
        """The lines that could not be read since the last call."""
        found, self._problems = self._problems, []
        return found
