"""The consumer group that re-keys Open edX's event bus: read, map, send keyed by learner, wait, then commit.

Offsets are committed after every event of the batch was acknowledged by all replicas and the staff list is on disk. So
a process that ends anywhere reads the last batch again, which changes nothing. What is refused is counted and logged
with a reason, never kept: a record of the bus holds names and addresses.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from infra.ingest.avro import FindSchema, SchemaRegistry, schemas_in
from infra.ingest.bus_records import outcome_of
from infra.ingest.sending import Ingested, Send, records_of
from recsys.adapters import Outcome
from recsys.adapters.inputs import write_staff
from recsys.adapters.openedx import OpenEdxRules
from recsys.adapters.summary import Summary
from recsys.errors import ConfigurationError
from recsys.kafka.bounded import missing_topic
from recsys.kafka.clients import answering, kafka_python_options
from recsys.kafka.diagnosis import reach
from recsys.kafka.records import READ_COMMITTED
from recsys.settings import Settings

POLL_MS: Final = 500
POLL_RECORDS: Final = 2_000
TELL_EVERY_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class BusReading:
    """What an operator decides.

    Attributes:
        topics: Of the bus.
        group: The consumer group.
        schemas: Finds Avro schemas.
        rules: For the events; its staff learns from them.
        staff_file: Where the staff list is kept; None: it lasts as long as the process.
        keep: Called when the events of a batch were acknowledged, before it is committed: keeps completed blocks.
        to_end: Whether to end once everything is read that was there at the start.
        session_timeout_s: Seconds until the group gives the partitions of a silent member to another.
    """

    topics: Sequence[str]
    group: str
    schemas: FindSchema
    rules: OpenEdxRules
    staff_file: Path | None = None
    keep: Callable[[], None] = lambda: None
    to_end: bool = False
    session_timeout_s: float = 30.0


def read_bus(bus: Settings, reading: BusReading, send: Send, stopped: Callable[[], bool]) -> Ingested:
    """Reads until told to stop.

    Args:
        bus: Settings of the Kafka of the bus.
        reading: What to read, and how.
        send: Where events go.
        stopped: Asked between two batches.

    Raises:
        ServiceUnavailable: A Kafka or the schema registry does not answer, or a record was not acknowledged. Nothing
            of the batch is committed.
        ConfigurationError: A topic is missing, or a login is refused.
        InputError: The staff file cannot be written. Nothing of the batch is committed.
    """
    log = structlog.get_logger()
    summary, started, told_at, sent = Summary(distinct=False), time.perf_counter(), time.monotonic(), 0
    with _consumer(bus, reading) as consumer:
        ends = _ends(consumer, reading) if reading.to_end else None
        log.info("bus_started", topics=list(reading.topics), group=reading.group)
        waits_for_commit = False
        while not stopped():
            batch = consumer.poll(timeout_ms=POLL_MS, max_records=POLL_RECORDS)
            if batch:
                sent += _passed_on(batch, reading, send, summary)
            if batch or waits_for_commit:
                waits_for_commit = not _committed(consumer)
            elif ends is not None and _reached(consumer, ends):
                break
            if time.monotonic() - told_at >= TELL_EVERY_S:
                told_at = time.monotonic()
                log.info("bus_progress", **_figures(summary, sent))
    log.info("bus_ended", **_figures(summary, sent))
    return Ingested(summary, sent, time.perf_counter() - started)


def _passed_on(batch: Mapping[Any, Sequence[Any]], reading: BusReading, send: Send, summary: Summary) -> int:
    """Sends the events of a batch and keeps the roles it gave; returns after both are safe."""
    staff = reading.rules.staff
    known = set(staff)
    found = _outcomes((record for records in batch.values() for record in records), reading)
    sent = send(records_of(found, summary))
    if reading.staff_file is not None and known != set(staff):
        write_staff(reading.staff_file, staff)
    reading.keep()
    return sent


def _committed(consumer: Any) -> bool:
    """Commits what was read; False where the group is handing out its partitions anew.

    Then the next poll gets on with that. What is read again by the partition's new owner changes nothing.
    """
    from kafka.errors import CommitFailedError, RebalanceInProgressError  # noqa: PLC0415 - see recsys.kafka.clients

    try:
        consumer.commit()
    except (CommitFailedError, RebalanceInProgressError) as error:
        structlog.get_logger().info("bus_commit_waits", reason=type(error).__name__)
        return False
    return True


def find_schemas(settings: Settings, folder: Path | None) -> FindSchema:
    """Where Avro schemas come from: files, else the registry, else nowhere.

    Raises:
        InputError: The folder holds no schemas, or one that cannot be read.
    """
    if folder is not None:
        return schemas_in(folder)
    if settings.schema_registry_url is None:
        return lambda _number, _event_type: None
    user, password = settings.schema_registry_username, settings.schema_registry_password
    login = None if user is None or password is None else (user, password.get_secret_value())
    return SchemaRegistry(settings.schema_registry_url, login)


def _outcomes(records: Iterable[Any], reading: BusReading) -> Iterator[tuple[str, Outcome]]:
    for record in records:
        outcome = outcome_of(record.value, record.headers, record.timestamp, reading.schemas, reading.rules)
        yield f"{record.topic} {record.partition}/{record.offset}", outcome


@contextmanager
def _consumer(bus: Settings, reading: BusReading) -> Iterator[Any]:
    """kafka-python's consumer in the group, which commits only when told to.

    Raises:
        ServiceUnavailable: Kafka does not answer within seconds, or stops answering inside the block.
        ConfigurationError: A topic is missing.
    """
    from kafka import KafkaConsumer  # noqa: PLC0415 - see recsys.kafka.clients

    server = reach(bus)
    with answering(bus):
        consumer = KafkaConsumer(
            **kafka_python_options(bus, server),
            group_id=reading.group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level=READ_COMMITTED,
            session_timeout_ms=int(reading.session_timeout_s * 1000),
            heartbeat_interval_ms=int(reading.session_timeout_s * 1000 / 3),
        )
        try:
            there = consumer.topics()
            for topic in reading.topics:
                if topic not in there:
                    raise ConfigurationError(missing_topic(topic))
            consumer.subscribe(list(reading.topics))
            yield consumer
        finally:
            consumer.close(autocommit=False)


def _ends(consumer: Any, reading: BusReading) -> dict[Any, int]:
    """Partition → the offset after its last record now."""
    from kafka import TopicPartition  # noqa: PLC0415 - see recsys.kafka.clients

    partitions = [
        TopicPartition(topic, number)
        for topic in reading.topics
        for number in consumer.partitions_for_topic(topic) or ()
    ]
    return dict(consumer.end_offsets(partitions))


def _reached(consumer: Any, ends: dict[Any, int]) -> bool:
    """Whether this process owns partitions, and has read each to its end."""
    owned = consumer.assignment()
    return bool(owned) and all(consumer.position(partition) >= ends.get(partition, 0) for partition in owned)


def _figures(summary: Summary, sent: int) -> dict[str, int]:
    refused = sum(found.lines for found in summary.refused.values())
    return {"read": summary.read, "sent": sent, "skipped": summary.skipped.total(), "refused": refused}
