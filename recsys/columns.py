"""The columns of a file, each turned into its one type or refused with the row that is wrong (see `recsys.files`)."""

from __future__ import annotations

import math
import re
from html.entities import html5
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from msgspec import Struct

from recsys.errors import InputError

_SEMICOLON = re.compile(r"&(?:#[0-9]+|#[xX][0-9A-Fa-f]+|(?P<name>[A-Za-z][A-Za-z0-9]*));|;")
LARGEST_WHOLE = 2**53
"""The largest whole number up to which a float holds each."""

_NUMBER = "a number or nothing as {}"
_WRITTEN_LIST = re.compile(r"""\s*\[\s*(?:\]|(?:['"]|None\b|nan\b)[^;]*\])\s*""")
"""A list as a program wrote it into one text, such as `['SQL', 'ETL']`."""
_TRUE_WORDS = frozenset({"true", "1"})
_FALSE_WORDS = frozenset({"false", "0", ""})


def refuse(wrong: pd.Series[bool], path: Path, expected: str, received: pd.Series[Any]) -> None:
    """Refuses a file that has a wrong row.

    Args:
        wrong: One truth value a row.
        path: The file, for the message.
        expected: What a row should have held.
        received: What the rows hold.

    Raises:
        InputError: Names the first wrong row, counted from 1 without the header.
    """
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise InputError(f"{path}, row {row + 1}: expected {expected}, received {str(received.iloc[row])[:80]!r}")


def strings(column: pd.Series[Any], path: Path, null: str | None = None) -> pd.Series[Any]:
    """A text column as objects; whole numbers of a Parquet file become their digits, floats are refused.

    Equal texts of a text column are one object: a million events name some thousand learners.

    Args:
        column: As the file holds it.
        path: The file, for the message.
        null: What stands for an absent value; None where one must be there.
    """
    if pd.api.types.is_integer_dtype(column.dtype):
        column = column.astype(str).astype("str")
    if isinstance(column.dtype, pd.StringDtype):  # holds text or nothing, and knows which values are equal
        codes, distinct = pd.factorize(column)
        if null is None:
            refuse(column.isna(), path, f"text as {column.name}", column)
        values = np.array([*distinct, null], dtype=object)  # code -1, an absent value, is the last
        return pd.Series(values[codes], index=column.index, name=column.name, dtype=object)
    column = column.astype(object)
    if null is not None:
        column = column.where(column.notna(), null)
    text = column.map(lambda value: isinstance(value, str)).astype(bool)
    refuse(~text, path, f"text as {column.name}", column)
    return column


def absent_as_none(column: pd.Series[Any]) -> pd.Series[Any]:
    """Empty texts as None."""
    return column.astype(object).where(column != "", None)


def milliseconds(column: pd.Series[Any], path: Path) -> pd.Series[Any]:
    """A timestamp column as int64 milliseconds since 1970 UTC; a Parquet timestamp without a zone is UTC."""
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        refuse(column.isna(), path, "a timestamp", column)
        utc = column.dt.tz_convert("UTC").dt.tz_localize(None) if column.dt.tz is not None else column
        return utc.astype("datetime64[ms]").astype("int64")
    if pd.api.types.is_integer_dtype(column.dtype) and not column.isna().any():
        return column.astype("int64")
    text = column.astype(object).where(column.notna(), "").astype(str)
    whole = text.str.fullmatch(re.compile(r"-?\d{1,18}(\.0*)?"))  # 18 digits: all of them fit into 64 bits
    refuse(~whole.astype(bool), path, "timestamp in whole milliseconds since 1970 UTC", text)
    return text.str.split(".").str[0].astype("int64")


def numbers(column: pd.Series[Any], path: Path) -> pd.Series[Any]:
    """A column of finite numbers as float64, NaN where absent; a decimal comma is refused, not guessed at."""
    refuse(column.map(lambda value: isinstance(value, bool)).astype(bool), path, _NUMBER.format(column.name), column)
    text = column.astype(object).where(column.notna(), "")
    numbers = pd.to_numeric(text.where(text != "", None), errors="coerce")
    wrong = (numbers.isna() & (text != "")) | np.isinf(numbers.astype("float64"))
    refuse(wrong, path, _NUMBER.format(column.name), text)
    return numbers.astype("float64")


def optional_numbers(column: pd.Series[Any], path: Path, as_type: type[int | float]) -> pd.Series[Any]:
    """A column of finite numbers as objects, None where absent; with `int`, a fraction is refused."""
    read = numbers(column, path)
    if as_type is int:
        refuse(
            read.notna() & ((read % 1 != 0) | (read.abs() > LARGEST_WHOLE)),
            path,
            f"a whole number or nothing as {column.name}",
            column,
        )
    present = [None if math.isnan(value) else as_type(value) for value in read]
    return pd.Series(present, index=column.index, dtype=object)


def structs(column: pd.Series[Any], path: Path, kind: type[Struct]) -> list[tuple[Any, ...]]:
    """JSON texts, each a list of one kind of struct, as one tuple a row; absent is the empty tuple.

    Args:
        column: As the file holds it.
        path: The file, for the message.
        kind: What each list holds.
    """
    decoder = msgspec.json.Decoder(tuple[kind, ...])  # type: ignore[valid-type]  # the type is an argument
    read: list[tuple[Any, ...] | None] = [_structs(text, decoder) for text in strings(column, path, null="")]
    wrong = pd.Series([value is None for value in read], index=column.index, dtype=bool)
    refuse(wrong, path, f"a JSON list or nothing as {column.name}", column)
    return [value for value in read if value is not None]


def booleans(column: pd.Series[Any], path: Path) -> pd.Series[Any]:
    """A yes-or-no column (true, false, 1, 0; absent is false) as bool."""
    words = column.astype(object).where(column.notna(), "").astype(str).str.lower().str.removesuffix(".0")
    refuse(~words.isin(_TRUE_WORDS | _FALSE_WORDS), path, f"true or false as {column.name}", column)
    return words.isin(_TRUE_WORDS)


def skills(column: pd.Series[Any], path: Path) -> list[tuple[str, ...]]:
    """Texts joined by ";" (or lists of texts) as one tuple a row; absent is the empty tuple."""
    read = [_split(value) for value in column]
    wrong = pd.Series([value is None for value in read], index=column.index, dtype=bool)
    refuse(wrong, path, f'texts joined by ";" or a list of texts as {column.name}', column)
    return [value for value in read if value is not None]


def _structs(text: str, decoder: msgspec.json.Decoder[tuple[Any, ...]]) -> tuple[Any, ...] | None:
    try:
        return decoder.decode(text) if text else ()
    except (msgspec.DecodeError, RecursionError):
        return None


def skill_ends(text: str) -> list[int]:
    """Where ";" parts the skills of one field: not where it ends a character reference ("R&amp;D; Java" are two)."""
    found = _SEMICOLON.finditer(text)
    return [
        match.end() - 1 for match in found if match[0] == ";" or (match["name"] and f"{match['name']};" not in html5)
    ]


def is_written_list(text: str) -> bool:
    """Whether a field holds a list as a program wrote it, which is refused: its brackets are no part of a skill."""
    return _WRITTEN_LIST.fullmatch(text) is not None


def _split(value: object) -> tuple[str, ...] | None:
    """The texts of one field; None where it holds anything else, such as a number or a null inside a list."""
    if isinstance(value, str):
        if is_written_list(value):
            return None
        ends = [-1, *skill_ends(value), len(value)]
        parts: list[object] = [value[start + 1 : end] for start, end in pairwise(ends)]
    elif isinstance(value, list | tuple | np.ndarray):
        parts = list(value)
    else:
        return () if value is None or value is pd.NA or value != value else None  # noqa: PLR0124 - NaN differs from itself
    texts = [part for part in parts if isinstance(part, str)]
    return tuple(skill for text in texts if (skill := text.strip())) if len(texts) == len(parts) else None
