"""A bounded read ends at the end it saw; what has to move is the positions, not the records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from kafka import TopicPartition

from recsys.errors import ConfigurationError, ServiceUnavailable
from recsys.kafka.bounded import STALL_S, BoundedLog, StallRule

TOPIC = "t"


@dataclass
class Consumer:
    """kafka-python's consumer over logs in memory: an offset without a record is one of an aborted transaction.

    Attributes:
        logs: Partition → records by offset; None where there is none.
        step: Offsets a poll goes on by.
    """

    logs: Mapping[int, Sequence[Any]]
    step: int = 2
    positions: dict[TopicPartition, int] = field(default_factory=dict)

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return set(self.logs) if topic == TOPIC else None

    def beginning_offsets(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, 0)

    def end_offsets(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return {place: len(self.logs[place.partition]) for place in places}

    def assign(self, places: Sequence[TopicPartition]) -> None:
        self.positions = dict.fromkeys(places, 0)

    def seek(self, place: TopicPartition, offset: int) -> None:
        self.positions[place] = offset

    def position(self, place: TopicPartition) -> int:
        return self.positions[place]

    def poll(self, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[Any]]:
        found = {}
        for place, at in list(self.positions.items()):
            passed = self.logs[place.partition][at : at + self.step]
            self.positions[place] = at + len(passed)
            records = [record for record in passed if record is not None]
            if records:
                found[place] = records
        return found


def log(*offsets: int, end: int) -> list[Any]:
    return [SimpleNamespace(offset=at) if at in offsets else None for at in range(end)]


def test_each_record_up_to_the_end_seen_at_the_start_once() -> None:
    consumer = Consumer({0: log(0, 1, 2, end=3), 1: log(0, end=1), 2: []})
    bounded = BoundedLog(consumer, TOPIC)
    consumer.logs[0].append(SimpleNamespace(offset=3))  # type: ignore[attr-defined]  # written meanwhile
    assert sorted(record.offset for record in bounded.records()) == [0, 0, 1, 2]
    assert (bounded.first, bounded.end) == ({0: 0, 1: 0, 2: 0}, {0: 3, 1: 1, 2: 0})
    assert [record.offset for record in bounded.records({0: 1})] == [1, 2]


def test_a_long_stretch_of_aborted_transactions_is_no_silence() -> None:
    """The clock goes on by the limit at each poll, and no poll brings a record until the last."""
    ticks: Iterator[float] = iter(range(0, 10_000, int(STALL_S)))
    bounded = BoundedLog(Consumer({0: log(41, end=42)}), TOPIC, clock=lambda: float(next(ticks)))
    assert [record.offset for record in bounded.records()] == [41]


def test_positions_that_stand_still_end_the_reading() -> None:
    ticks = iter(range(1000))
    bounded = BoundedLog(Consumer({0: log(0, end=2)}, step=0), TOPIC, clock=lambda: float(next(ticks)))
    with pytest.raises(ServiceUnavailable, match="nothing more of topic t for 30 s"):
        list(bounded.records())


def test_a_topic_that_is_not_there_is_one_line() -> None:
    with pytest.raises(ConfigurationError, match="Kafka has no topic other: `recsys topics` creates it"):
        BoundedLog(Consumer({}), "other")


def test_the_stall_rule_counts_from_the_last_move() -> None:
    now = 0.0
    rule = StallRule(TOPIC, limit_s=10, clock=lambda: now)
    rule.check(5)
    now = 10.0
    rule.check(5)
    rule.check(6)
    now = 20.0
    rule.check(6)
    now = 20.1
    with pytest.raises(ServiceUnavailable):
        rule.check(6)
