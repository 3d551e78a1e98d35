"""What is asked of Kafka itself: topics, leaders, offsets, configurations. Blocking, by kafka-python.

Nothing here deletes or shrinks anything. A worker asks in a thread of its own.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

from recsys.errors import ConfigurationError, ServiceUnavailable
from recsys.kafka.bounded import missing_topic
from recsys.kafka.clients import admin_client
from recsys.owner import LogIdentity
from recsys.settings.kafka import KafkaSettings

TIMESTAMP_TYPE, ARRIVAL = "message.timestamp.type", "LogAppendTime"
GROWN_WITHIN_S = 30.0
POLL_S = 0.1
ATTEMPTS = 3
"""A question that any broker can answer is asked so often: a silent one is asked once, then another."""

T = TypeVar("T")

Bounds = tuple[int, int]
"""First offset that is held, and the offset after the last that can be read."""


def ask_again(question: Callable[[], T]) -> T:
    """Asks what any broker can answer, and asks again where the one that was asked is silent.

    `admin_client` asks the broker that has the least to do; after a time-out that is another one.
    """
    from kafka.errors import RetriableError  # noqa: PLC0415 - clients are imported where they are used

    for _ in range(ATTEMPTS - 1):
        with contextlib.suppress(RetriableError):
            return question()
    return question()


def partition_leaders(client: Any, topic: str) -> dict[int, int | None] | None:
    """Partition → the broker that leads it, None where none does; None if the topic is not there."""
    found = [row for row in ask_again(lambda: client.describe_topics([topic])) if not row["error_code"]]
    if not found:
        return None
    leaders = {each["partition_index"]: each["leader_id"] for each in found[0]["partitions"]}
    return {number: None if leader < 0 else leader for number, leader in leaders.items()}


def partition_counts(client: Any, topics: Iterable[str]) -> dict[str, int]:
    """Topic → partitions, of those that are there."""
    there = set(ask_again(client.list_topics))  # describing a topic that is not there would create it on some brokers
    leaders = {topic: partition_leaders(client, topic) for topic in topics if topic in there}
    return {topic: len(found) for topic, found in leaders.items() if found}


def topic_partitions(settings: KafkaSettings) -> int:
    """The partition count of the interactions topic.

    Raises:
        ServiceUnavailable: Kafka does not answer.
        ConfigurationError: The topic does not exist.
    """
    with admin_client(settings) as client:
        return _expected_partitions(client, settings.interactions_topic)


def grow_topic(settings: KafkaSettings, partitions: int) -> int:
    """Raises the partition count of the interactions topic; returns it when every broker says so.

    Raises:
        ServiceUnavailable: Kafka does not answer, or does not grow the topic in time.
        ConfigurationError: The topic does not exist, or has more partitions already.
    """
    with admin_client(settings) as client:
        topic = settings.interactions_topic
        there = _expected_partitions(client, topic)
        if partitions < there:
            raise ConfigurationError(f"expected at least the topic's {there} partitions, received {partitions}")
        if partitions > there:
            client.create_partitions({topic: partitions})
        deadline = time.monotonic() + GROWN_WITHIN_S
        while there < partitions:
            if time.monotonic() > deadline:
                raise ServiceUnavailable(f"topic {topic} still has {there} partitions {GROWN_WITHIN_S:.0f} s after")
            time.sleep(POLL_S)
            there = _expected_partitions(client, topic)
    return there


def _expected_partitions(client: Any, topic: str) -> int:
    counts = partition_counts(client, [topic])
    if topic not in counts:
        raise ConfigurationError(missing_topic(topic))
    return counts[topic]


def log_bounds(settings: KafkaSettings, topic: str, *, committed: bool = False) -> dict[int, Bounds | None]:
    """Partition → its bounds, None where no broker leads it or the one that does is silent.

    Args:
        settings: Of Kafka.
        topic: Its name.
        committed: Whether what an open transaction wrote lies after the end.

    Raises:
        ServiceUnavailable: Kafka does not answer.
        ConfigurationError: The topic does not exist.
    """
    from kafka import TopicPartition  # noqa: PLC0415 - clients are imported where they are used
    from kafka.errors import RetriableError, UnknownBrokerIdError  # noqa: PLC0415

    with admin_client(settings) as client:
        leaders = partition_leaders(client, topic) if topic in ask_again(client.list_topics) else None
        if leaders is None:
            raise ConfigurationError(missing_topic(topic))
        known: dict[int, Bounds] = {}
        for leader in set(leaders.values()) - {None}:
            led = [TopicPartition(topic, number) for number, by in leaders.items() if by == leader]
            with contextlib.suppress(RetriableError, UnknownBrokerIdError):  # one that died a moment ago still leads
                known |= _bounds(client, led, committed=committed)
    return {number: known.get(number) for number in sorted(leaders)}


def _bounds(client: Any, places: Sequence[Any], *, committed: bool) -> dict[int, Bounds]:
    from kafka.admin import OffsetSpec  # noqa: PLC0415 - clients are imported where they are used
    from kafka.protocol.consumer import IsolationLevel  # noqa: PLC0415

    level = IsolationLevel.READ_COMMITTED if committed else IsolationLevel.READ_UNCOMMITTED
    first = client.list_partition_offsets(dict.fromkeys(places, OffsetSpec.EARLIEST))
    last = client.list_partition_offsets(dict.fromkeys(places, OffsetSpec.LATEST), isolation_level=level)
    return {each.partition: (first[each].offset, last[each].offset) for each in places}


def topic_configuration(client: Any, topic: str) -> dict[str, str]:
    """Name → value of a topic's configuration, defaults included."""
    from kafka.admin import ConfigResource, ConfigResourceType  # noqa: PLC0415 - clients are imported where they are used

    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    described: Mapping[str, Mapping[str, Mapping[str, Mapping[str, str]]]] = ask_again(
        lambda: client.describe_configs([resource], config_filter="all")
    )
    return {name: entry["value"] for name, entry in described["topic"][topic].items()}


def check_configuration(client: Any, topic: str, relied_upon: Mapping[str, str]) -> None:
    """Compares what is relied upon with what is.

    Raises:
        ConfigurationError: A value is another; the message has the command that sets it.
    """
    actual = topic_configuration(client, topic)
    for name, value in relied_upon.items():
        if actual.get(name) != value:
            raise ConfigurationError(
                f"topic {topic} has {name}={actual.get(name)} and must have {name}={value}: set it with "
                f"`kafka-configs.sh --bootstrap-server … --alter --entity-type topics --entity-name {topic} "
                f"--add-config {name}={value}`"
            )


def log_identity(settings: KafkaSettings) -> LogIdentity:
    """Which log the interactions topic is right now; without ids where the broker is the embedded one.

    Raises:
        ServiceUnavailable: Kafka does not answer.
        ConfigurationError: The topic does not exist.
    """
    if settings.kafka_embedded:
        return LogIdentity(settings.interactions_topic)
    with admin_client(settings) as client:
        return _log_identity(client, settings.interactions_topic)


def _log_identity(client: Any, topic: str) -> LogIdentity:
    if topic not in ask_again(client.list_topics):
        raise ConfigurationError(missing_topic(topic))
    described = ask_again(lambda: client.describe_topics([topic]))[0]
    topic_id = described.get("topic_id")
    known = topic_id is not None and UUID(str(topic_id)).int != 0
    return LogIdentity(topic, str(topic_id) if known else None, ask_again(client.describe_cluster).get("cluster_id"))


def check_interactions_topic(settings: KafkaSettings) -> LogIdentity:
    """`check_arrival_time` and `log_identity` over one connection: what a worker looks at while it runs.

    Raises:
        ConfigurationError: The topic does not exist, or its records carry another time than their arrival.
        ServiceUnavailable: Kafka does not answer.
    """
    topic = settings.interactions_topic
    if settings.kafka_embedded:
        return LogIdentity(topic)
    with admin_client(settings) as client:
        identity = _log_identity(client, topic)
        check_configuration(client, topic, {TIMESTAMP_TYPE: ARRIVAL})
    return identity


def check_arrival_time(settings: KafkaSettings) -> None:
    """Checks that the broker stamps each record of the interactions topic with its arrival.

    With the producer's own time instead, good events are refused as being in the future, or held for old.

    Raises:
        ConfigurationError: It does not; the message has the command that makes it.
        ServiceUnavailable: Kafka does not answer.
    """
    if settings.kafka_embedded:
        return  # it knows no configuration
    with admin_client(settings) as client:
        check_configuration(client, settings.interactions_topic, {TIMESTAMP_TYPE: ARRIVAL})
