"""History: every accepted event and the catalogue, from files or from the Kafka topics. Nothing is cleaned here.

From the topic, each partition is read from its first offset to the end seen at the start, outside any consumer group,
so reading disturbs nobody and two runs over the same offsets give the same history.
"""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from batch.stages import Progress
from recsys.catalog import Course, decode_course
from recsys.errors import InputError, InvalidEvent, ServiceUnavailable
from recsys.events import decode
from recsys.files import INTERACTION_COLUMNS, courses_in, read_courses, read_interactions
from recsys.settings import Settings

_POLL_MS = 500
_POLL_RECORDS = 20_000
_STALL_S = 30.0
_REACH_S = 3.0


@dataclass(frozen=True, slots=True)
class History:
    """What a training run starts from.

    Attributes:
        events: Columns of `recsys.files.INTERACTION_COLUMNS`.
        courses: The catalogue.
        source: "topic", or the interactions file's name.
        offsets: Partition → first offset read and the one after the last; empty for files.
        refused: Reason → records that are no valid event.
        duplicates: Records left out because the learner's event id came before.
    """

    events: pd.DataFrame
    courses: tuple[Course, ...]
    source: str
    offsets: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    refused: Mapping[str, int] = field(default_factory=dict)
    duplicates: int = 0


def from_files(interactions: Path, courses: Path) -> History:
    """Reads the neutral files.

    Raises:
        InputError: When one is missing or not of the documented form.
    """
    return History(read_interactions(interactions), tuple(courses_in(read_courses(courses))), interactions.name)


def from_topic(settings: Settings, *, progress: Progress = lambda _done, _total: None) -> History:
    """Reads the interactions topic to its present end, and the catalogue.

    Raises:
        ServiceUnavailable: When Kafka does not answer, stops answering, or has no such topic.
    """
    consumer = _connect(settings)
    try:
        reading = _Reading()
        offsets: dict[str, tuple[int, int]] = {}
        for record, done, total in _records(consumer, settings.interactions_topic, offsets):
            reading.add(record)
            if done % _POLL_RECORDS == 0 or done == total:
                progress(done, total)
        courses = _catalogue(consumer, settings.courses_topic)
    except (KafkaError, OSError) as error:
        raise ServiceUnavailable(
            f"expected Kafka at {settings.kafka_bootstrap_servers} to answer, received {error}"
        ) from None
    finally:
        consumer.close()
    return History(reading.frame(), courses, "topic", offsets, dict(reading.refused), reading.duplicates)


class _Reading:
    """Accepted events so far, and counts of the others."""

    def __init__(self) -> None:
        self._rows: list[tuple[Any, ...]] = []
        self._seen: set[tuple[str, str]] = set()
        self.refused: Counter[str] = Counter()
        self.duplicates = 0

    def add(self, record: Any) -> None:
        try:
            event = decode(record.value, arrival_ms=record.timestamp, headers=record.headers)
        except InvalidEvent as error:
            self.refused[error.reason] += 1
            return
        if (event.user_id, event.event_id) in self._seen:
            self.duplicates += 1
            return
        self._seen.add((event.user_id, event.event_id))
        self._rows.append(tuple(getattr(event, name) for name in INTERACTION_COLUMNS))

    def frame(self) -> pd.DataFrame:
        frame = pd.DataFrame(self._rows, columns=list(INTERACTION_COLUMNS))
        return frame.astype({"timestamp": "int64", "value": "float64"})


def _catalogue(consumer: Any, topic: str) -> tuple[Course, ...]:
    """The newest state of every course; a null value retires the course as it last was."""
    courses: dict[str, Course] = {}
    for record, _, _ in _records(consumer, topic, {}):
        key = (record.key or b"").decode("utf-8", "replace")
        if record.value is None:
            if key in courses:
                courses[key] = _retired(courses[key])
            continue
        try:
            course = decode_course(record.value)
        except InputError:
            continue  # one broken record of the catalogue must not cost a training run
        courses[course.course_id] = course
    if not courses:
        raise ServiceUnavailable(
            f"expected courses in topic {topic}, received an empty catalogue (`recsys replay --courses`)"
        )
    return tuple(courses.values())


def _retired(course: Course) -> Course:
    return Course(**{name: getattr(course, name) for name in course.__struct_fields__} | {"retired": True})


def _connect(settings: Settings) -> Any:
    servers = settings.kafka_bootstrap_servers
    _reach(servers)
    try:
        return KafkaConsumer(
            bootstrap_servers=servers.split(","),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            api_version=settings.kafka_api_version_tuple,
            bootstrap_timeout_ms=5_000,
            max_partition_fetch_bytes=4 << 20,
        )
    except (KafkaError, OSError) as error:
        raise ServiceUnavailable(f"expected Kafka at {servers}, received {type(error).__name__}") from None


def _reach(servers: str) -> None:
    """Tries the addresses once: with a pinned version the consumer would look for a dead broker for ever."""
    received: Exception = ValueError("no address")
    for server in servers.split(","):
        host, _, port = server.strip().rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=_REACH_S).close()
        except (OSError, ValueError) as error:
            received = error
        else:
            return
    raise ServiceUnavailable(f"expected Kafka at {servers}, received {received}")


def _records(
    consumer: Any,
    topic: str,
    offsets: dict[str, tuple[int, int]],
) -> Iterator[tuple[Any, int, int]]:
    """Each record of a topic up to its present end, with records done and in all; fills `offsets`."""
    numbers = consumer.partitions_for_topic(topic)
    if not numbers:
        raise ServiceUnavailable(f"expected topic {topic}, received a broker without it (`recsys topics` creates it)")
    partitions = [TopicPartition(topic, number) for number in sorted(numbers)]
    consumer.assign(partitions)
    first, end = consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
    offsets |= {str(tp.partition): (first[tp], end[tp]) for tp in partitions}
    for tp in partitions:
        consumer.seek(tp, first[tp])
    total = sum(end[tp] - first[tp] for tp in partitions)
    done, moved, reached = 0, time.monotonic(), -1
    while any(consumer.position(tp) < end[tp] for tp in partitions):
        batches = consumer.poll(timeout_ms=_POLL_MS, max_records=_POLL_RECORDS)
        for tp, records in batches.items():
            for record in records:
                if record.offset < end[tp]:
                    done += 1
                    yield record, done, total
        before, reached = reached, sum(consumer.position(tp) for tp in partitions)
        if reached != before:  # also over aborted transactions, which hold no records
            moved = time.monotonic()
        elif time.monotonic() - moved > _STALL_S:
            raise ServiceUnavailable(f"expected records of {topic} within {_STALL_S:.0f} s, received none")
