"""The rows of a publisher's file: every importer declares the type of each column here, and reads no file otherwise.

A value that is not of its type refuses its row, with a reason, a count and the first row as example; the events made of
the rows are then held to the rules of the stream (`batch.clean.refusals`). See the package for the one rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from batch.clean import EMPTY_TITLE, MAX_ID_LENGTH, refusals
from batch.datasets.importers import dates
from batch.datasets.importers.fields import by_distinct, identifier_of, is_absent, text_of
from batch.datasets.importers.results import FileReport, ImportOptions, Refused
from batch.text_repair import is_visible, readable
from recsys.delimited import CSV, Layout
from recsys.errors import InputError, RefusalReason
from recsys.events import MAX_FUTURE_MS, YEAR_2000_MS
from recsys.files import INTERACTION_COLUMNS
from recsys.tables import read_table

_MOST_SECONDS = 1e19  # beyond any unit a clock counts in
_NUMBER = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_ID = f"an id of 1 to {MAX_ID_LENGTH} printable characters as {{}}"
_WHOLE_ID = "a text or a whole number with all its digits as {}"
_RULES = {
    RefusalReason.BAD_ID: _ID,
    RefusalReason.BAD_VALUE: "a value the event type allows as {}",
    RefusalReason.BEFORE_2000: "a time in or after 2000 as {}",
    RefusalReason.IN_THE_FUTURE: "a time that is not in the future as {}",
}


def find(source: Path, names: Sequence[str]) -> Path | None:
    """The first of these files in a folder (or beside a file of it); None where there is none.

    Raises:
        InputError: `source` does not exist.
    """
    if not source.exists():
        raise InputError(f"there is no file or folder {source}")
    folder = source if source.is_dir() else source.parent
    return next((folder / name for name in names if (folder / name).is_file()), None)


def require(source: Path, *names: str) -> Path:
    """As `find`, for a file that must be there.

    Raises:
        InputError: None of the names is there.
    """
    path = find(source, names)
    if path is None:
        raise InputError(f"{source} holds no {' and no '.join(names)}")
    return path


class Rows:
    """The rows of one file, and the fate of each: used, left out, or refused for the first reason found.

    Args:
        path: The file.
        required: Columns that must be there.
        options: See `ImportOptions`.
        layout: Of a delimited file.

    Raises:
        InputError: The file has a structural fault (see `recsys.tables`).
    """

    def __init__(self, path: Path, required: Sequence[str], options: ImportOptions, layout: Layout = CSV) -> None:
        self._path, self._options = path, options
        self._raw = read_table(path, required, layout, progress=options.stage(f"reading {path.name}"))
        self._waiting: pd.Series[bool] = pd.Series(np.ones(len(self._raw)), index=self._raw.index).astype(bool)
        self._left_out: dict[str, int] = {}
        self._refused: dict[str, Refused] = {}
        self._repaired: dict[str, Refused] = {}

    @property
    def index(self) -> pd.Index[Any]:
        """The rows that are neither left out nor refused so far."""
        return self._raw.index[self._waiting]

    def __contains__(self, name: str) -> bool:
        """Whether the file has this column."""
        return name in self._raw

    def fullness(self, *, without: str) -> pd.Series[Any]:
        """Characters in all fields of a row but one."""
        return self._raw.drop(columns=without).map(lambda value: len(text_of(value))).sum(axis=1)

    def leave_out(self, unwanted: pd.Series[bool], why: str) -> None:
        """Counts rows that are well-formed but not wanted."""
        chosen = unwanted.reindex(self._raw.index, fill_value=False) & self._waiting
        if chosen.any():
            self._left_out[why] = self._left_out.get(why, 0) + int(chosen.sum())
            self._waiting &= ~chosen

    def leave_out_repeats(self, ids: pd.Series[Any]) -> None:
        """Counts all but the last usable row of each course: the last one stays, as in the compacted topic."""
        repeated = ids[self.index].duplicated(keep="last")
        self.leave_out(repeated, "repeats of a course")

    def refuse(self, wrong: pd.Series[bool], reason: str, expected: str, name: str) -> None:
        """Counts rows whose value of a column is bad.

        Args:
            wrong: One truth value a row; rows not named are not wrong.
            reason: Under which they are counted.
            expected: What the row should have held; the column's name takes the place of `{}`.
            name: The column, shown in the example.
        """
        chosen = wrong.reindex(self._raw.index, fill_value=False).astype(bool) & self._waiting
        if chosen.any():
            _count(self._refused, reason, int(chosen.sum()), self._example(chosen, expected, name))
            self._waiting &= ~chosen

    def note(self, repaired: pd.Series[bool], what: str, expected: str, name: str) -> None:
        """Counts rows that are used though a value was not as it should be; as `refuse`."""
        chosen = repaired & self._waiting
        if chosen.any():
            _count(self._repaired, what, int(chosen.sum()), self._example(chosen, expected, name))

    def is_absent(self, name: str) -> pd.Series[bool]:
        """Where a column holds nothing: null, blanks, or a word such as NaN that a program wrote for nothing."""
        return by_distinct(self._raw[name], is_absent, default=True).astype(bool)

    def identifiers(self, name: str, *, limit: int = MAX_ID_LENGTH) -> pd.Series[Any]:
        """A column of ids as text: 17001 and 17001.0 are "17001"; 17001.5, blanks and rounded numbers are refused."""
        ids = by_distinct(self._raw[name], identifier_of, default=None)
        self.refuse(ids.isna(), RefusalReason.BAD_ID, _WHOLE_ID, name)
        is_id = by_distinct(ids, lambda text: 1 <= len(text) <= limit and text.isprintable(), default=False)
        self.refuse(~is_id.astype(bool), RefusalReason.BAD_ID, _ID, name)
        return ids.fillna("").astype(object)

    def texts(self, name: str) -> pd.Series[Any]:
        """A column of text for people to read, "" where absent (see `batch.text_repair.readable`)."""
        return by_distinct(self._raw[name], lambda value: readable(text_of(value)), default="").astype(object)

    def titles(self, name: str) -> pd.Series[Any]:
        """As `texts`, for a column in which every row must show something."""
        texts = self.texts(name)
        self.refuse(~texts.map(is_visible).astype(bool), EMPTY_TITLE, "a title as {}", name)
        return texts

    def numbers(
        self, name: str, low: float = -np.inf, high: float = np.inf, expected: str = "a number as {}"
    ) -> pd.Series[Any]:
        """A column of finite numbers within bounds as float64; "2,55" and "1 200" are refused, not guessed at."""
        raw = self._raw[name]
        if pd.api.types.is_numeric_dtype(raw.dtype) and not pd.api.types.is_bool_dtype(raw.dtype):
            values = raw.astype("Float64").to_numpy(dtype="float64", na_value=np.nan)
        else:
            is_text = isinstance(raw.dtype, pd.StringDtype) and not raw.hasnans
            text = (raw if is_text else raw.astype(object).map(text_of).astype("str")).str.strip()
            values = pd.to_numeric(text.where(text.str.fullmatch(_NUMBER).astype(bool)), errors="coerce").to_numpy(
                "float64"
            )
        read = pd.Series(values, index=raw.index)
        self.refuse(read.abs().isin((np.nan, np.inf)), RefusalReason.BAD_VALUE, "a number as {}", name)
        self.refuse(~read.between(low, high), RefusalReason.BAD_VALUE, expected, name)
        return read

    def dates(self, name: str) -> pd.Series[Any]:
        """A column of dates as int64 ms since 1970 UTC (see `batch.datasets.importers.dates`).

        Raises:
            InputError: The dates can be read in two ways.
        """
        read = dates.milliseconds(self._raw[name], self._path, self._options.date_format)
        given = self._options.date_format
        expected = f"{given} as {{}}" if given else f"{dates.ISO} as {{}} (for another form: --date-format)"
        self.refuse(read.isna().astype(bool), RefusalReason.BAD_TIMESTAMP, expected, name)
        return self._judged_times(read.fillna(0).astype("int64"), name)

    def seconds(self, name: str, *, shift_ms: int = 0) -> pd.Series[Any]:
        """A column of seconds since 1970 UTC as int64 ms, moved by `shift_ms`; another unit is refused and named."""
        read = self.numbers(name, -_MOST_SECONDS, _MOST_SECONDS, "seconds since 1970 UTC as {}") * 1000 + shift_ms
        latest = self._options.arrival_ms + MAX_FUTURE_MS
        for unit, factor in (("milliseconds", 1e3), ("microseconds", 1e6), ("nanoseconds", 1e9)):
            likely = (read > latest) & read.div(factor).between(YEAR_2000_MS, latest)
            expected = f"seconds since 1970 UTC as {{}} (these look like {unit})"
            self.refuse(likely, RefusalReason.IN_THE_FUTURE, expected, name)
        self.refuse(read > latest, RefusalReason.IN_THE_FUTURE, _RULES[RefusalReason.IN_THE_FUTURE], name)
        bounded = read.where(read.between(0, 2.0**53), 0).astype("int64")
        return self._judged_times(bounded, name)

    def events(self, names: dict[str, str], **columns: Any) -> pd.DataFrame:
        """The events of the rows that are left, held to the rules of the stream.

        Args:
            names: Column of an event → the file's column it comes from, for the examples.
            columns: Columns of `INTERACTION_COLUMNS`, each with the index of these rows; the others are absent.

        Returns:
            The accepted events in order of time, index 0…n−1.
        """
        frame = pd.DataFrame({"value": float("nan"), **columns}, index=self.index)
        for name in set(INTERACTION_COLUMNS) - set(frame.columns):
            frame[name] = None
        strings = [name for name in INTERACTION_COLUMNS if name not in {"timestamp", "value"}]
        frame = frame.astype({**dict.fromkeys(strings, object), "timestamp": "int64", "value": "float64"})
        reasons = refusals(frame, arrival_ms=self._options.arrival_ms)
        for reason, expected in _RULES.items():
            field = {RefusalReason.BAD_ID: "course_id", RefusalReason.BAD_VALUE: "value"}.get(reason, "timestamp")
            self.refuse(reasons == reason, reason, expected, names.get(field, names["course_id"]))
        kept = frame.loc[self.index, list(INTERACTION_COLUMNS)]
        return kept.sort_values("timestamp", kind="stable", ignore_index=True)

    def report(self) -> FileReport:
        """What became of the rows.

        Raises:
            InputError: There are rows, and none can be used.
        """
        used = int(self._waiting.sum())
        report = FileReport(
            self._path.name, len(self._raw), used, dict(self._left_out), dict(self._refused), dict(self._repaired)
        )
        if len(self._raw) and not used:
            counts = {**{why: f"{rows} left out" for why, rows in self._left_out.items()}}
            counts |= {reason: f"{found.rows} refused, {found.example}" for reason, found in self._refused.items()}
            said = "; ".join(f"{reason}: {count}" for reason, count in counts.items())
            raise InputError(f"{self._path}: none of its {len(self._raw)} rows can be used: {said}")
        return report

    def _judged_times(self, times: pd.Series[Any], name: str) -> pd.Series[Any]:
        latest = self._options.arrival_ms + MAX_FUTURE_MS
        for wrong, reason in (
            (times < YEAR_2000_MS, RefusalReason.BEFORE_2000),
            (times > latest, RefusalReason.IN_THE_FUTURE),
        ):
            self.refuse(wrong, reason, _RULES[reason], name)
        return times

    def _example(self, chosen: pd.Series[bool], expected: str, name: str) -> str:
        row = int(chosen.to_numpy().argmax())
        received = str(self._raw[name].iloc[row])[:80]
        return f"row {row + 1}: expected {expected.replace('{}', name)}, received {received!r}"


def _count(counts: dict[str, Refused], reason: str, rows: int, example: str) -> None:
    before = counts.get(str(reason))
    counts[str(reason)] = Refused(rows, example) if before is None else Refused(before.rows + rows, before.example)
