"""One field of a publisher's file: absent or not, as an id, as text; and a column read by its distinct values."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from batch.datasets.importers.distinct import distinct

EXACT_FLOATS = 2**53
"""Whole floats from here on have lost digits."""

_ABSENT = frozenset({"", "nan", "null", "none", "na", "n/a", "#n/a", "<na>", "nat", "inf", "-inf"})
_SPREADSHEET_ERRORS = frozenset({"#ref!", "#value!", "#div/0!", "#name?", "#num!", "#null!", "#spill!", "#calc!"})
_DECIMAL = re.compile(r"([+-]?\d+)\.(\d*)", re.ASCII)
_ROUNDED = re.compile(r"[+-]?\d\.\d+[eE][+-]?\d+|\d{1,3}(,\d{3})+", re.ASCII)


def by_distinct(column: pd.Series[Any], read: Callable[[Any], Any], *, default: Any) -> pd.Series[Any]:
    """`read` of each distinct value, laid out as the column; `default` where it is null."""
    codes, found = distinct(column)
    values = np.empty(len(found) + 1, dtype=object)
    values[:-1] = [read(value) for value in found]
    values[-1] = default
    return pd.Series(values[codes], index=column.index, dtype=object)


def is_absent(value: Any) -> bool:
    """Whether a field holds nothing: null, blanks, or a word such as NaN that a program wrote for nothing."""
    return text_of(value).strip().casefold() in _ABSENT


def identifier_of(value: Any) -> str | None:
    """A field as an id: a text, or a whole number with all its digits; None where it is neither."""
    if isinstance(value, bool | np.bool_):
        return None
    if isinstance(value, float | np.floating):
        return str(int(value)) if float(value).is_integer() and abs(float(value)) < EXACT_FLOATS else None
    text = text_of(value).strip()
    if text.casefold() in _ABSENT | _SPREADSHEET_ERRORS or _ROUNDED.fullmatch(text):
        return None
    decimal = _DECIMAL.fullmatch(text)
    if decimal is None:
        return text
    return None if decimal[2].strip("0") else decimal[1]


def text_of(value: Any) -> str:
    """A field as text; "" for null and for what no text column holds, such as a list or bytes that are no UTF-8."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return ""
    if isinstance(value, float | np.floating) and float(value).is_integer() and abs(float(value)) < EXACT_FLOATS:
        return str(int(value))
    return str(value) if isinstance(value, int | float | np.number | Decimal) and value == value else ""  # noqa: PLR0124 - NaN differs from itself
