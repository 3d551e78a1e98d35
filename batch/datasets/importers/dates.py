"""A column of dates as text: one order of day, month and year for the whole column, or no reading at all.

A date such as 01-12-2010 says two things. Which one is meant is decided from the whole column: as soon as one day is
above 12, all are read in that order. Where no row decides, or two rows decide differently, the column is refused and
both readings are shown. So is a column with the year first in which a row can only be read as year, day, month and
none only as year, month, day. Dates without a zone are taken as UTC. Years have four digits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from batch.datasets.importers.distinct import distinct
from recsys.errors import ConfigurationError, InputError

ISO = "YYYY-MM-DD hh:mm:ss"
_YEAR_FIRST = re.compile(r"(?P<year>\d{4})(?P<sep>[-/.])(?P<a>\d{1,2})(?P=sep)(?P<b>\d{1,2})(?P<rest>.*)", re.ASCII)
_YEAR_LAST = re.compile(r"(?P<a>\d{1,2})(?P<sep>[-/.])(?P<b>\d{1,2})(?P=sep)(?P<year>\d{4})(?P<rest>.*)", re.ASCII)
_REST = re.compile(
    r"(?:[T ]\s*(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?)?"
    r"(?:\s*(?P<half>[AaPp]\.?[Mm]\.?))?)?\s*(?P<zone>[Zz]|UTC|[+-]\d{2}:?\d{2})?",
    re.ASCII,
)
_HALF_DAY = 12
_LAST_HOUR, _LAST_MINUTE = 23, 59
_SAMPLE = datetime(2001, 12, 31, 23, 58, 59)  # noqa: DTZ001 - a moment to try a format on

_Read = Callable[[re.Match[str]], datetime]


def check_format(date_format: str) -> None:
    """Checks a format given on the command line.

    Raises:
        ConfigurationError: It does not hold day, month and year in the codes of `datetime.strptime`.
    """
    try:
        is_whole = datetime.strptime(_SAMPLE.strftime(date_format), date_format).date() == _SAMPLE.date()  # noqa: DTZ007 - only the date is compared
    except ValueError:
        is_whole = False
    if not is_whole:
        raise ConfigurationError(
            f"expected --date-format with day, month and year such as '%d/%m/%Y %H:%M', received {date_format[:40]!r}"
        )


def milliseconds(column: pd.Series[Any], path: Path, date_format: str | None) -> pd.Series[Any]:
    """A column of dates as nullable integers, ms since 1970 UTC; absent where a value is no date.

    Args:
        column: Text, or timestamps of a Parquet file.
        path: The file, for the message.
        date_format: See `ImportOptions`; timestamps need none.

    Raises:
        InputError: The column's dates can be read in two ways, or are written in two.
    """
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        utc = column.dt.tz_convert("UTC").dt.tz_localize(None) if column.dt.tz is not None else column
        values = utc.astype("datetime64[ms]").astype("int64").astype("Int64")
        return values.where(column.notna(), pd.NA)
    codes, found = distinct(column)
    first_rows = pd.Series(codes).drop_duplicates()
    rows = {int(code): int(row) + 1 for row, code in first_rows.items() if code >= 0}  # type: ignore[call-overload]  # positions
    read = _read_distinct([_text(value) for value in found], rows, path, str(column.name), date_format)
    values = pd.array([None if moment is None else _ms(moment) for moment in read] + [None], dtype="Int64")
    return pd.Series(values[codes], index=column.index)  # code −1, an absent value, takes the last


def _read_distinct(
    texts: Sequence[str], rows: dict[int, int], path: Path, name: str, date_format: str | None
) -> list[datetime | None]:
    if date_format is not None:
        return [_by_format(text, date_format) for text in texts]
    year_first = [_YEAR_FIRST.fullmatch(text) for text in texts]
    year_last = [_YEAR_LAST.fullmatch(text) for text in texts]
    moments = [_try(_ymd, match) for match in year_first]
    days = [_try(_dmy, match) for match in year_last]
    months = [_try(_mdy, match) for match in year_last]

    def said(place: int) -> str:
        return f"{texts[place]!r} (row {rows[place]})"

    def two_forms(one: int, other: int, how: str) -> InputError:
        return InputError(
            f"{path}: the column {name} holds dates in two forms: {said(one)} and {said(other)}, {how};"
            " make them one, or name the form to keep with --date-format"
        )

    turned = [_try(_ydm, match) for match in year_first]
    iso = next((place for place, moment in enumerate(moments) if moment is not None), None)
    odd = next((place for place, moment in enumerate(turned) if moment is not None and moments[place] is None), None)
    if iso is not None and odd is not None and None not in [turned[place] for place in _places(moments)]:
        raise two_forms(iso, odd, "year-month-day and year-day-month")
    places = [place for place, pair in enumerate(zip(days, months, strict=True)) if pair != (None, None)]
    if iso is not None and places:
        raise two_forms(iso, places[0], "year first and year last")
    day = next((place for place in places if months[place] is None), None)
    month = next((place for place in places if days[place] is None), None)
    if day is not None and month is not None:
        raise two_forms(day, month, "day first and month first")
    open_place = next((place for place in places if days[place] != months[place]), None)
    if day is None and month is None and open_place is not None:
        raise InputError(
            _both_readings(path, name, said(open_place), days[open_place], months[open_place], texts[open_place])
        )
    return moments if iso is not None else days if month is None else months


def _places(moments: Sequence[datetime | None]) -> list[int]:
    return [place for place, moment in enumerate(moments) if moment is not None]


def _both_readings(
    path: Path, name: str, said: str, day_first: datetime | None, month_first: datetime | None, text: str
) -> str:
    match = _YEAR_LAST.fullmatch(text)
    sep, clock = (match["sep"], _clock_format(match["rest"])) if match else ("/", "")
    readings = " or ".join(f"{moment:%Y-%m-%d}" for moment in (day_first, month_first) if moment is not None)
    return (
        f"{path}: the dates of the column {name} can be read in two ways: {said} is {readings}, day first or month"
        f" first; say which with --date-format '%d{sep}%m{sep}%Y{clock}' or '%m{sep}%d{sep}%Y{clock}'"
    )


def _clock_format(rest: str) -> str:
    """What `--date-format` has to say of what follows the date: `rest` with a code for each of its parts."""
    found = _REST.fullmatch(rest)
    if found is None:
        return ""
    codes = {
        "hour": "%I" if found["half"] else "%H",
        "minute": "%M",
        "second": "%S",
        "fraction": "%f",
        "half": "%p",
        "zone": "%Z" if found["zone"] == "UTC" else "%z",
    }
    written, end = "", 0
    for name, code in codes.items():
        if found[name] is not None:
            written += rest[end : found.start(name)] + code
            end = found.end(name)
    return written + rest[end:]


def _text(value: object) -> str:
    if isinstance(value, datetime | date):
        return value.isoformat()
    return value.strip() if isinstance(value, str) else ""


def _ms(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def _by_format(text: str, date_format: str) -> datetime | None:
    try:
        moment = datetime.strptime(text, date_format)  # noqa: DTZ007 - a format may have a zone
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _try(read: _Read, match: re.Match[str] | None) -> datetime | None:
    try:
        return None if match is None else read(match)
    except (ValueError, OverflowError):
        return None


def _ymd(match: re.Match[str]) -> datetime:
    return _moment(match, month=int(match["a"]), day=int(match["b"]))


def _ydm(match: re.Match[str]) -> datetime:
    return _moment(match, month=int(match["b"]), day=int(match["a"]))


def _dmy(match: re.Match[str]) -> datetime:
    return _moment(match, month=int(match["b"]), day=int(match["a"]))


def _mdy(match: re.Match[str]) -> datetime:
    return _moment(match, month=int(match["a"]), day=int(match["b"]))


def _moment(match: re.Match[str], *, month: int, day: int) -> datetime:
    """The instant in UTC.

    Raises:
        ValueError: There is no such day, or what follows it is no time of day.
    """
    rest = _REST.fullmatch(match["rest"])
    if rest is None:
        raise ValueError
    hour = int(rest["hour"] or 0)
    if rest["half"]:
        if not 1 <= hour <= _HALF_DAY:
            raise ValueError
        hour = hour % _HALF_DAY + _HALF_DAY * (rest["half"][0] in "Pp")
    micros = int((rest["fraction"] or "0").ljust(6, "0")[:6])
    clock = time(hour, int(rest["minute"] or 0), int(rest["second"] or 0), micros)
    return datetime.combine(date(int(match["year"]), month, day), clock, tzinfo=UTC) - _offset(rest["zone"])


def _offset(zone: str | None) -> timedelta:
    """How far a zone is from UTC.

    Raises:
        ValueError: No clock shows such an offset (RFC 3339: at most 23:59).
    """
    if zone is None or zone[0] not in "+-":
        return timedelta()
    hours, minutes = int(zone[1:3]), int(zone[-2:])
    if hours > _LAST_HOUR or minutes > _LAST_MINUTE:
        raise ValueError
    offset = timedelta(hours=hours, minutes=minutes)
    return -offset if zone[0] == "-" else offset
