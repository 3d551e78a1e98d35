"""What a learner's records say, course by course: for a person as a table, for programs as JSON values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from recsys.record import FOREVER_MS, Record, RecordRules, State, engagement_of, unpack
from recsys.record.value import FLOW_TYPES
from recsys.times import shown_time
from recsys.vocabulary import FLOWS, VOCABULARY, Kind

_OPPOSITE = {row.state: name for name, row in VOCABULARY.items() if row.kind is Kind.OPPOSITE}


@dataclass(frozen=True, slots=True)
class CourseRow:
    """One course of a learner.

    Attributes:
        course_id: The course.
        score: Engagement at the time asked for.
        record: What the learner did with it.
        done_until: Until when it is not to be recommended, ms since 1970 UTC; None where it may be.
    """

    course_id: str
    score: float
    record: Record
    done_until: int | None

    def document(self, user_id: str) -> dict[str, Any]:
        """JSON values; times are RFC 3339 in UTC."""
        record = self.record
        return {
            "user_id": user_id,
            "course_id": self.course_id,
            "score": self.score,
            "flows": flows_of(record),
            "states": {name: _state_document(state) for name, state in record.states.items()},
            "progress": record.quarter / 4,
            "progress_at": shown_time(record.reached_ms) if record.quarter else None,
            "last_touch": shown_time(record.touch_ms),
            "not_recommended_until": None if self.done_until is None else _shown_end(self.done_until),
        }


def course_rows(records: Mapping[str, bytes], rules: RecordRules, at_ms: int, *, key: str) -> list[CourseRow]:
    """The courses of a learner, highest score first.

    Args:
        records: Course → packed record, as the store holds it.
        rules: Of the deployment.
        at_ms: When the scores are for, ms since 1970 UTC.
        key: The Redis key of the records, to be named in an error.

    Raises:
        UnreadableState: A record is none.
    """
    rows = []
    for course, packed in records.items():
        record = unpack(packed, key)
        score = rules.decay.score(engagement_of(packed), at_ms)
        rows.append(CourseRow(course, score, record, rules.done_until(record)))
    return sorted(rows, key=lambda row: (-row.score, row.course_id))


def as_table(rows: Sequence[CourseRow]) -> Table:
    """The rows for a person."""
    table = Table("course", "score", "states", "progress", "flows", "last touch", "not recommended until")
    for row in rows:
        record = row.record
        reached = f"{record.quarter * 25} % since {shown_time(record.reached_ms)}" if record.quarter else ""
        table.add_row(
            row.course_id,
            f"{row.score:.6g}",
            "\n".join(_state_words(name, state) for name, state in record.states.items()),
            reached,
            ", ".join(f"{name} {number}" for name, number in flows_of(record).items()),
            shown_time(record.touch_ms),
            "" if row.done_until is None else _shown_end(row.done_until),
        )
    return table


def flows_of(record: Record) -> Mapping[str, int]:
    """Type of flow → in how many buckets it happened, of those that are kept."""
    counts = Counter(FLOWS[flow % FLOW_TYPES] for flow in record.flows)
    return {name: counts[name] for name in FLOWS if counts[name]}


def _state_document(state: State) -> dict[str, Any]:
    document: dict[str, Any] = {"entered": state.entered, "at": shown_time(state.at_ms)}
    return document if state.value is None else document | {"value": state.value}


def _state_words(name: str, state: State) -> str:
    value = "" if state.value is None else f" {state.value:g}"
    return f"{name if state.entered else _OPPOSITE[name]}{value} {shown_time(state.at_ms)}"


def _shown_end(until_ms: int) -> str:
    return "for ever" if until_ms >= FOREVER_MS else shown_time(until_ms)
