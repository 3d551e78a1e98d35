"""Reads a whole topic with librdkafka, which no layer uses: what the oracle folds, and the dead letters."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple, cast

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition

READ_WITHIN_S = 120.0
SLICE = 10_000


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
    """Every record from the log's start to its end as of now; those of a partition in offset order.

    Raises:
        TimeoutError: The log's end was not reached in time.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": "oracle",  # asked for by the client; nothing is committed
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "log_level": 0,
        }
    )
    try:
        partitions = set(consumer.list_topics(topic, timeout=READ_WITHIN_S).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
        found: list[LogRecord] = []
        give_up = time.monotonic() + READ_WITHIN_S
        while partitions:
            if time.monotonic() > give_up:
                raise TimeoutError(f"expected to read {topic} within {READ_WITHIN_S:g} s, read {len(found)} records")
            for message in consumer.consume(SLICE, timeout=0.5):
                error = message.error()
                if error is None:
                    found.append(_as_record(message))
                elif error.code() == KafkaError._PARTITION_EOF:
                    partitions.discard(message.partition())
        return found
    finally:
        consumer.close()


def _as_record(message: Message) -> LogRecord:
    _, timestamp = message.timestamp()
    partition, offset = message.partition(), message.offset()
    assert partition is not None
    assert offset is not None
    headers = cast("Sequence[tuple[str, bytes | None]]", message.headers() or ())
    return LogRecord(partition, offset, timestamp, message.key(), message.value(), headers)


def log_ends(servers: str, topic: str) -> dict[int, int]:
    """Partition → the offset after its last record."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "oracle", "log_level": 0})
    try:
        partitions = consumer.list_topics(topic, timeout=READ_WITHIN_S).topics[topic].partitions
        ends = {}
        for partition in partitions:
            _, ends[partition] = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=READ_WITHIN_S)
        return ends
    finally:
        consumer.close()


def committed_offsets(servers: str, topic: str, group: str) -> dict[int, int]:
    """Partition → the offset the group committed; partitions without one are left out."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": group, "log_level": 0})
    try:
        partitions = consumer.list_topics(topic, timeout=READ_WITHIN_S).topics[topic].partitions
        places = consumer.committed([TopicPartition(topic, each) for each in partitions], timeout=READ_WITHIN_S)
        return {place.partition: place.offset for place in places if place.offset >= 0}
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
