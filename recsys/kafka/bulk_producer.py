"""Producing many records to Kafka with a bounded number on the way, and counting every acknowledgement."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from kafka import KafkaProducer
from kafka.errors import KafkaError

from recsys.errors import ConfigurationError, ServiceUnavailable
from recsys.kafka.acknowledged import ACKNOWLEDGED, MAX_REQUEST_BYTES
from recsys.kafka.bounded import missing_topic
from recsys.kafka.clients import CONNECT_TIMEOUT_MS, answering, kafka_python_options
from recsys.kafka.diagnosis import reach
from recsys.settings.kafka import KafkaSettings

DELIVERY_TIMEOUT_MS = 30_000
MAX_OUTSTANDING = 20_000
PROGRESS_EVERY = 500


class Record(NamedTuple):
    """What is sent.

    Attributes:
        key: Decides on the partition by Kafka's default partitioner; None for any.
        value: The bytes.
        headers: Names and values.
    """

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


def connect(settings: KafkaSettings, *topics: str) -> KafkaProducer:
    """A producer that waits for all replicas, after checking that the topics are there.

    Raises:
        ServiceUnavailable: Kafka does not answer within seconds.
        ConfigurationError: A topic is missing, or Kafka refuses the login.
    """
    server = reach(settings)
    with answering(settings):
        producer = KafkaProducer(
            **kafka_python_options(settings, server),
            **ACKNOWLEDGED,
            linger_ms=20,
            batch_size=262_144,
            max_request_size=MAX_REQUEST_BYTES,
            max_block_ms=CONNECT_TIMEOUT_MS,
            request_timeout_ms=DELIVERY_TIMEOUT_MS // 2,
            delivery_timeout_ms=DELIVERY_TIMEOUT_MS,
            allow_auto_create_topics=False,
        )
    for topic in topics:
        try:
            producer.partitions_for(topic)
        except KafkaError:
            producer.close(timeout=0)
            raise ConfigurationError(missing_topic(topic)) from None
    return producer


class Deliveries:
    """Counts acknowledgements and bounds how many records wait for theirs.

    kafka-python's producer buffers without a limit; a slot is taken before each send and given back by the record's
    acknowledgement or failure, so memory stays flat however long the file is.
    """

    def __init__(self, max_outstanding: int = MAX_OUTSTANDING) -> None:
        self.acknowledged = 0
        self.failed = 0
        self.first_error: BaseException | None = None
        self._slots = threading.Semaphore(max_outstanding)

    def send(self, producer: KafkaProducer, topic: str, record: Record) -> None:
        """Sends one record (a plain pair is one without headers); waits while too many are outstanding."""
        key, value, headers = Record(*record)
        self._slots.acquire()
        try:
            future = producer.send(topic, key=key, value=value, headers=list(headers))
        except KafkaError as error:
            self._failed(error)
            return
        future.add_callback(self._acknowledged)
        future.add_errback(self._failed)

    def _acknowledged(self, _: object) -> None:  # called in the producer's one sender thread, as is _failed
        self.acknowledged += 1
        self._slots.release()

    def _failed(self, error: BaseException) -> None:
        self.failed += 1
        self.first_error = self.first_error or error
        self._slots.release()


def produce(
    producer: KafkaProducer,
    topic: str,
    records: Iterable[Record],
    *,
    rate: float | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Sends records and waits for every acknowledgement.

    Args:
        producer: With acks from all replicas.
        topic: An existing topic.
        records: In order.
        rate: At most this many records a second; None for as fast as they go.
        on_progress: Called now and then with the number of records acknowledged so far.

    Returns:
        Records sent; all of them were acknowledged.

    Raises:
        ServiceUnavailable: With the counts, if a record was not acknowledged. Sending stops at the first failure.
    """
    deliveries = Deliveries()
    sent = 0
    started = time.perf_counter()
    for record in records:
        if rate is not None and (ahead := started + sent / rate - time.perf_counter()) > 0:
            time.sleep(ahead)
        deliveries.send(producer, topic, record)
        sent += 1
        if sent % PROGRESS_EVERY == 0:
            on_progress(deliveries.acknowledged)
        if deliveries.failed:
            break
    try:
        producer.flush(timeout=DELIVERY_TIMEOUT_MS / 1000 + CONNECT_TIMEOUT_MS / 1000)
    except KafkaError as error:
        deliveries.first_error = deliveries.first_error or error
    on_progress(deliveries.acknowledged)
    if deliveries.acknowledged != sent:
        reason = type(deliveries.first_error).__name__ if deliveries.first_error else "no answer"
        raise ServiceUnavailable(
            f"topic {topic}: expected {sent} acknowledgements, received {deliveries.acknowledged};"
            f" {sent - deliveries.acknowledged} records failed ({reason}: {deliveries.first_error})"
        )
    return sent
