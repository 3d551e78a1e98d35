"""Reads a whole topic with kafka-python: what the oracle folds, and what became of the dead letters."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from kafka import KafkaConsumer, TopicPartition

READ_WITHIN_S = 120.0


class LogRecord(NamedTuple):
    """One record as it lies in the log; `timestamp` is the broker's append time, ms since 1970 UTC."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


class DeadLetter(NamedTuple):
    """A dead letter: where its record lies, the record's value, and why it was refused."""

    partition: int
    offset: int
    value: bytes | None
    reason: str


def read_topic(servers: str, topic: str) -> list[LogRecord]:
    """Every record from the log's start to its end as of now; those of a partition in offset order."""
    consumer = KafkaConsumer(
        bootstrap_servers=servers,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=4 << 20,
        fetch_max_bytes=16 << 20,
        check_crcs=False,
    )
    try:
        places = [TopicPartition(topic, partition) for partition in sorted(consumer.partitions_for_topic(topic) or ())]
        consumer.assign(places)
        consumer.seek_to_beginning(*places)
        ends = consumer.end_offsets(places)
        found: list[LogRecord] = []
        give_up = time.monotonic() + READ_WITHIN_S
        while any(consumer.position(place) < ends[place] for place in places):
            if time.monotonic() > give_up:
                raise TimeoutError(f"expected to read {topic} to {ends} within {READ_WITHIN_S:g} s, read {len(found)}")
            for place, records in consumer.poll(timeout_ms=500, max_records=20_000).items():
                found += [
                    LogRecord(place.partition, one.offset, one.timestamp, one.key, one.value, one.headers)
                    for one in records
                    if one.offset < ends[place]
                ]
        return found
    finally:
        consumer.close()


def log_ends(servers: str, topic: str) -> dict[int, int]:
    """Partition → the offset after its last record."""
    consumer = KafkaConsumer(bootstrap_servers=servers, group_id=None, enable_auto_commit=False)
    try:
        places = [TopicPartition(topic, partition) for partition in consumer.partitions_for_topic(topic) or ()]
        return {place.partition: end for place, end in consumer.end_offsets(places).items()}
    finally:
        consumer.close()


def as_dead_letter(record: LogRecord) -> DeadLetter:
    """What a record of the dead-letter topic says of itself."""
    headers = {name: value or b"" for name, value in record.headers}
    return DeadLetter(
        int(headers["__streams.errors.partition"]),
        int(headers["__streams.errors.offset"]),
        record.value,
        headers["dlq.reason"].decode(),
    )
