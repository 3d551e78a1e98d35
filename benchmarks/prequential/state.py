"""What is known at a time of a replayed history: records, sums of courses, and what rivals learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from benchmarks.rivals import Rival
from recsys.course_sums.activity import untouched
from recsys.events import Interaction
from recsys.exclusion import Exclusion
from recsys.files import read_interactions
from recsys.model.inputs import Doubles
from recsys.model.mixed_affinity import ACTIVITY
from recsys.record.rules import RecordRules, record_of
from recsys.record.value import Record, join
from recsys.vocabulary import CONTROL, DEFAULT_WEIGHTS
from stream.finetuning.course_activity import CourseActivity
from stream.finetuning.learners import Change
from stream.monitor.judge import is_positive


class History(NamedTuple):
    """A history in order of time.

    Attributes:
        events: All of it.
        users: Learner → row.
    """

    events: Sequence[Interaction]
    users: Mapping[str, int]


@dataclass
class State:
    """All that was known at a time: records of learners, sums of courses, and the rivals that learned from them.

    Attributes:
        rules: How events become records.
        row_of: Course → row of the model's catalogue.
        rivals: By name.
        sums: Whether sums of courses are kept, for live course features.
    """

    rules: RecordRules
    row_of: Mapping[str, int]
    rivals: Mapping[str, Rival]
    sums: bool = False
    records: dict[str, dict[str, Record]] = field(default_factory=dict)
    touched: dict[str, list[int]] = field(default_factory=dict)
    told: int = 0
    activity: CourseActivity = field(init=False)

    def __post_init__(self) -> None:
        self.activity = CourseActivity({ACTIVITY: untouched(len(self.row_of))}, self.row_of, self.rules)

    def advance(self, history: History, until_ms: int) -> None:
        """Learns what happened up to and including a time; times do not fall."""
        changes = []
        while self.told < len(history.events) and history.events[self.told].timestamp <= until_ms:
            event = history.events[self.told]
            self.told += 1
            of_user = self.records.setdefault(event.user_id, {})
            before = of_user.get(event.course_id)
            record = of_user[event.course_id] = join(before or Record(), record_of(event, self.rules))
            if self.sums:
                changes.append(Change(event.course_id, before or Record(), record))
            row = self.row_of.get(event.course_id)
            if before is not None or row is None or not is_positive(event, DEFAULT_WEIGHTS):
                continue
            touched = self.touched.setdefault(event.user_id, [])
            for rival in self.rivals.values():
                rival.learn(history.users[event.user_id], row, touched, event.timestamp)
            touched.append(row)
        self.activity.add(changes)

    def vectors(self) -> Doubles:
        """The sums of the courses, `(len(row_of), WIDTH)` (`recsys.course_sums.activity`)."""
        vectors = self.activity.state()
        return untouched(len(self.row_of)) if vectors is None else vectors

    def learner(self, user: str, at_ms: int) -> tuple[Mapping[str, float], set[str]]:
        """A learner's stored engagement, and the courses that are left out."""
        records = self.records.get(user, {})
        engagement = {course: self.rules.engagement(record) for course, record in records.items()}
        done = {course: until for course, record in records.items() if (until := self.rules.done_until(record))}
        return engagement, set(Exclusion().excluded(done, engagement, at_ms=at_ms))


def read_history(path: Path) -> History:
    """The events of a neutral file, without those that erase or merge."""
    frame = read_interactions(path).sort_values("timestamp", kind="stable")
    columns = (frame[name] for name in ("event_id", "user_id", "course_id", "type", "timestamp", "value"))
    events = [
        Interaction(name, user, course, kind, int(at_ms), None if pd.isna(value) else float(value))
        for name, user, course, kind, at_ms, value in zip(*columns, strict=True)
        if kind not in CONTROL
    ]
    return History(events, {user: row for row, user in enumerate(dict.fromkeys(event.user_id for event in events))})
