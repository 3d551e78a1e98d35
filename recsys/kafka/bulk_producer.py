"""Producing many records to Kafka with a bounded number on the way, and counting every acknowledgement."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from kafka import KafkaProducer
from kafka.errors import KafkaError

from recsys.errors import ServiceUnavailable
from recsys.settings import Settings

CONNECT_TIMEOUT_MS = 5_000
REACH_TIMEOUT_S = 3.0
DELIVERY_TIMEOUT_MS = 30_000
MAX_OUTSTANDING = 20_000
PROGRESS_EVERY = 500

MAX_REQUEST_BYTES = 8_000_000
"""Above what a topic may be told to take, so that it is the broker who refuses a record."""


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


def connect(settings: Settings, *topics: str) -> KafkaProducer:
    """A producer that waits for all replicas, after checking that the topics are there.

    Raises:
        ServiceUnavailable: The broker does not answer within seconds, or a topic is missing.
    """
    servers = settings.kafka_bootstrap_servers
    reach(servers)
    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # its retries are told in our one line
    try:
        producer = KafkaProducer(
            bootstrap_servers=servers.split(","),
            api_version=settings.kafka_api_version_tuple,
            acks="all",
            linger_ms=20,
            batch_size=262_144,
            max_request_size=MAX_REQUEST_BYTES,
            max_block_ms=CONNECT_TIMEOUT_MS,
            bootstrap_timeout_ms=CONNECT_TIMEOUT_MS,
            request_timeout_ms=DELIVERY_TIMEOUT_MS // 2,
            delivery_timeout_ms=DELIVERY_TIMEOUT_MS,
            allow_auto_create_topics=False,
        )
    except (KafkaError, OSError) as error:
        raise ServiceUnavailable(f"expected Kafka at {servers}, received {type(error).__name__}") from None
    for topic in topics:
        try:
            producer.partitions_for(topic)
        except KafkaError:
            producer.close(timeout=0)
            raise ServiceUnavailable(
                f"expected topic {topic} at {servers}, received a broker without it (`recsys topics` creates it)"
            ) from None
    return producer


def reach(servers: str) -> None:
    """Tries the addresses once: with a pinned version a client itself would not notice that nobody is there.

    Raises:
        ServiceUnavailable: Nobody listens at any of them.
    """
    received: Exception = ValueError("no address")
    for server in servers.split(","):
        host, _, port = server.strip().rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_TIMEOUT_S).close()
        except (OSError, ValueError) as error:
            received = error
        else:
            return
    raise ServiceUnavailable(f"expected Kafka at {servers}, received {received}")


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
