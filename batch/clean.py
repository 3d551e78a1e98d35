"""Cleaning: what is refused, what is repeated, what is put right, and a count of each.

The rules for an event are those of `recsys.events.from_mapping`, computed on whole columns; a property test holds the
two equal. Nothing is dropped without being counted, and nothing here looks at who the learner is (bots: `batch.bots`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from batch.text_repair import is_visible, readable, unique
from recsys.errors import RefusalReason
from recsys.events import EVENT_TYPES, MAX_FUTURE_MS, MAX_ID_CHARS, YEAR_2000_MS
from recsys.vocabulary import CONTROL

MAX_ID_LENGTH = MAX_ID_CHARS
REPEATED = "repeated"
DUPLICATE = "duplicate"
EMPTY_TITLE = "empty_title"
CLAMPED = "clamped_to_arrival"
_TEXT_COLUMNS = ("title", "intro", "category", "level", "language")


@dataclass(frozen=True, slots=True)
class CleaningReport:
    """What cleaning did to a frame; `received` is `kept` plus the sum of `dropped`.

    Attributes:
        received: Rows that came in.
        kept: Rows that went out.
        dropped: Reason → rows; a `RefusalReason`, `repeated`, `duplicate` or `empty_title`.
        changed: What was put right (`clamped_to_arrival`, or a text column's name) → rows.
    """

    received: int
    kept: int
    dropped: Mapping[str, int]
    changed: Mapping[str, int]

    def __str__(self) -> str:
        parts = [f"{number} {reason}" for reason, number in self.dropped.items()]
        return f"{self.kept} of {self.received} rows kept" + (f"; dropped: {', '.join(parts)}" if parts else "")


def clean_interactions(frame: pd.DataFrame, *, arrival_ms: int) -> tuple[pd.DataFrame, CleaningReport]:
    """Keeps the events the stream would count.

    Args:
        frame: As `recsys.files.read_interactions` gives it.
        arrival_ms: When the events reached us; up to 5 minutes later is clamped to it, further is refused.

    Returns:
        The accepted rows in their order, index 0…n−1, and the report. Of rows that differ in their ids and their
        evidence alone the first one stays: the others change no record.
    """
    reasons = refusals(frame, arrival_ms=arrival_ms)
    accepted = frame[reasons == ""]
    late = accepted["timestamp"] > arrival_ms
    accepted = accepted.assign(timestamp=accepted["timestamp"].clip(upper=arrival_ms))
    repeated = accepted.duplicated(["user_id", "course_id", "type", "timestamp", "value", "into"])
    kept = accepted[~repeated].reset_index(drop=True)
    dropped = {str(reason): int(number) for reason, number in reasons[reasons != ""].value_counts().items()}
    return kept, _report(frame, kept, {**dropped, REPEATED: int(repeated.sum())}, {CLAMPED: int(late[~repeated].sum())})


def refusals(frame: pd.DataFrame, *, arrival_ms: int) -> pd.Series[str]:
    """Why `recsys.events.from_mapping` would refuse each row: a `RefusalReason`, "" where it would not.

    Its order is kept: the first rule a row breaks names the reason.
    """
    kind, value, timestamp = frame["type"], frame["value"], frame["timestamp"]
    names_learner, into = frame["into"].notna(), frame["into"].fillna("")
    shortest = {"event_id": 1, "user_id": 1, "course_id": 0}
    length = pd.concat(
        [~frame[name].str.len().between(least, MAX_ID_LENGTH) for name, least in shortest.items()], axis=1
    ).any(axis=1)
    unprintable = pd.concat([~_printable(frame[name]) for name in shortest], axis=1).any(axis=1)
    control, unnamed = kind.isin(CONTROL), frame["course_id"] == ""
    low = (kind == "rate").astype(float)
    high = kind.map({"progress": 1.0, "rate": 5.0}).astype(float).fillna(np.inf)
    needed = kind.isin(("progress", "rate"))
    bad_value = (needed & value.isna()) | (value < low) | (value > high) | np.isinf(value)
    rules = (
        (length, RefusalReason.BAD_ID),
        (~kind.isin(EVENT_TYPES), RefusalReason.UNKNOWN_TYPE),
        (names_learner & ~into.str.len().between(1, MAX_ID_LENGTH), RefusalReason.BAD_ID),
        (unprintable, RefusalReason.BAD_ID),
        (~control & unnamed, RefusalReason.BAD_ID),
        (control & ~unnamed, RefusalReason.SCHEMA),
        (names_learner != (kind == "merge"), RefusalReason.SCHEMA),
        (~_printable(into) | (into == frame["user_id"]), RefusalReason.BAD_ID),
        (bad_value, RefusalReason.BAD_VALUE),
        (timestamp > arrival_ms + MAX_FUTURE_MS, RefusalReason.IN_THE_FUTURE),
        # A time within the 5 minutes of grace becomes the arrival time and is not looked at again.
        ((timestamp < YEAR_2000_MS) & (timestamp <= arrival_ms), RefusalReason.BEFORE_2000),
    )
    conditions = [broken.to_numpy(dtype=bool) for broken, _ in rules]
    names = np.select(conditions, [str(reason) for _, reason in rules], default="")
    return pd.Series(names, index=frame.index, dtype=object)


def clean_courses(frame: pd.DataFrame) -> tuple[pd.DataFrame, CleaningReport]:
    """Makes the catalogue's text readable (`batch.text_repair`), and keeps one row a course.

    Args:
        frame: As `recsys.files.read_courses` gives it.

    Returns:
        The courses in their order, index 0…n−1, and the report. Text stays as its author wrote it (control
        characters become blanks); a course with an id that no event can name, or with a title that shows nothing, is
        dropped; of rows with the same id the last one stays, as in the compacted topic.
    """
    tidy = frame.copy()
    for name in _TEXT_COLUMNS:
        tidy[name] = pd.Series([readable(text) for text in frame[name]], index=frame.index, dtype=object)
    tidy["skills"] = pd.Series([unique(skills) for skills in frame["skills"]], index=frame.index, dtype=object)
    ids = frame["course_id"]
    bad_id = ~ids.str.len().between(1, MAX_ID_LENGTH) | ~_printable(ids)
    empty = ~bad_id & ~tidy["title"].map(is_visible).astype(bool)
    repeated = (
        ~bad_id
        & ~empty
        & tidy[~bad_id & ~empty].duplicated("course_id", keep="last").reindex(ids.index, fill_value=False)
    )
    kept = tidy[~(bad_id | empty | repeated)].reset_index(drop=True)
    dropped = {
        str(RefusalReason.BAD_ID): int(bad_id.sum()),
        EMPTY_TITLE: int(empty.sum()),
        DUPLICATE: int(repeated.sum()),
    }
    changed = {name: int((tidy[name] != frame[name]).sum()) for name in (*_TEXT_COLUMNS, "skills")}
    return kept, _report(frame, kept, dropped, changed)


def _report(
    received: pd.DataFrame, kept: pd.DataFrame, dropped: Mapping[str, int], changed: Mapping[str, int]
) -> CleaningReport:
    some = {name: number for name, number in dropped.items() if number}
    return CleaningReport(len(received), len(kept), some, {name: number for name, number in changed.items() if number})


def _printable(column: pd.Series[str]) -> pd.Series[bool]:
    """Where an id can be printed, and is not of blanks only."""
    return column.map(lambda text: text.isprintable() and not text.isspace()).astype(bool)
