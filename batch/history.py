"""History: every accepted event and the catalogue, from files or from the Kafka topics. Nothing is cleaned here.

From the topic, each partition is read from its first offset to the end seen at the start, outside any consumer group,
so reading disturbs nobody and two runs over the same offsets give the same history.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from batch.stages import Progress
from recsys.catalog import Course
from recsys.catalogue_log import Catalogue
from recsys.errors import InvalidEvent, ServiceUnavailable
from recsys.events import decode
from recsys.files import INTERACTION_COLUMNS, courses_in, read_courses, read_interactions
from recsys.handed_on import is_handed_on
from recsys.kafka.bounded import BoundedLog
from recsys.kafka.clients import bounded_consumer
from recsys.settings import Settings

_PROGRESS_EVERY = 20_000


@dataclass(frozen=True, slots=True)
class History:
    """What a training run starts from.

    Attributes:
        events: Columns of `recsys.files.INTERACTION_COLUMNS`.
        courses: The catalogue.
        source: "topic", or the interactions file's name.
        offsets: Partition → first offset read and the one after the last; empty for files.
        refused: Reason → records that are no valid event.
        catalogue: How the catalogue's topic was read; empty for files.
    """

    events: pd.DataFrame
    courses: tuple[Course, ...]
    source: str
    offsets: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    refused: Mapping[str, int] = field(default_factory=dict)
    catalogue: Catalogue = field(default_factory=Catalogue)


def from_files(interactions: Path, courses: Path) -> History:
    """Reads the neutral files.

    Raises:
        InputError: When one is missing or not of the documented form.
    """
    events, catalogue = read_interactions(interactions), tuple(courses_in(read_courses(courses)))
    pa.default_memory_pool().release_unused()  # else it keeps what it has freed: 270 MiB of a million events
    return History(events, catalogue, interactions.name)


def from_topic(settings: Settings, *, progress: Progress = lambda _done, _total: None) -> History:
    """Reads the interactions topic to its present end, and the catalogue.

    Raises:
        ServiceUnavailable: When Kafka does not answer or stops answering, or the catalogue is empty.
        ConfigurationError: When Kafka has no such topic, or refuses the login.
    """
    with bounded_consumer(settings) as consumer:
        log = BoundedLog(consumer, settings.interactions_topic)
        offsets = {str(partition): (log.first[partition], log.end[partition]) for partition in log.first}
        total = sum(end - first for first, end in offsets.values())
        reading = Reading()
        for done, record in enumerate(log.records(), 1):
            reading.add(record)
            if done % _PROGRESS_EVERY == 0:
                progress(done, total)
        progress(total, total)
        catalogue = _catalogue(BoundedLog(consumer, settings.courses_topic))
    return History(
        reading.frame(),
        tuple(catalogue.courses.values()),
        "topic",
        offsets,
        dict(reading.refused),
        catalogue,
    )


class Reading:
    """Accepted events so far, and counts of the others; what merges hand on is passed over, as its events are there."""

    def __init__(self) -> None:
        self._rows: list[tuple[Any, ...]] = []
        self._texts: dict[str, str] = {}
        self.refused: Counter[str] = Counter()

    def add(self, record: Any) -> None:
        """Takes the next record of the topic."""
        if record.headers and is_handed_on(record.headers):
            return
        try:
            event = decode(record.value, arrival_ms=record.timestamp, headers=record.headers)
        except InvalidEvent as error:
            self.refused[error.reason] += 1
            return
        row = (getattr(event, name) for name in INTERACTION_COLUMNS[1:])
        self._rows.append((event.event_id, *map(self._same, row)))

    def _same(self, value: Any) -> Any:
        """The first text equal to it, so that equal ones are one object; event ids are all different."""
        return self._texts.setdefault(value, value) if isinstance(value, str) else value

    def frame(self) -> pd.DataFrame:
        """The events, as `recsys.files.read_interactions` would give them."""
        frame = pd.DataFrame(self._rows, columns=list(INTERACTION_COLUMNS), dtype=object)
        return frame.astype({"timestamp": "int64", "value": "float64"})


def _catalogue(log: BoundedLog) -> Catalogue:
    """The newest state of every course. Records that are none are counted: they must not cost a training run."""
    catalogue = Catalogue()
    for record in log.records():
        catalogue.add(record.key, record.value, record.offset)
    if not catalogue.courses:
        why = "; ".join(catalogue.remarks()) or "`recsys replay --courses` fills it"
        raise ServiceUnavailable(f"topic {log.topic} holds no course: {why}")
    return catalogue
