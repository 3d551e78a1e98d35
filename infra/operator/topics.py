"""Topics: creates what is missing and checks what is there. Never deletes, shrinks or alters one.

Two properties are relied upon: `interactions` carries the broker's own time on each record (LogAppendTime: a
record's timestamp is its arrival), and `courses` is compacted (the newest record of a course is the course).
"""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError, TopicAlreadyExistsError

from recsys.errors import ConfigurationError, ServiceUnavailable, TopologyMismatch
from recsys.settings import Settings

_CONNECT_SECONDS = 5.0
_MAX_REPLICAS = 3
_DAY_MS = 86_400_000
_INTERACTIONS_RETENTION_MS = 2 * 365 * _DAY_MS
_DEAD_LETTER_RETENTION_MS = 90 * _DAY_MS
_EXPOSURES_RETENTION_MS = 180 * _DAY_MS


class TopicState(StrEnum):
    """What was done about a topic."""

    CREATED = "created"
    PRESENT = "present"


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """A topic as it has to be.

    Attributes:
        name: Its name.
        partitions: Its partitions.
        configuration: Given at creation.
        relied_upon: The part of `configuration` without which the system is wrong; checked on a topic that is there.
        exact_partitions: Whether another partition count is an error.
    """

    name: str
    partitions: int
    configuration: Mapping[str, str]
    relied_upon: Mapping[str, str] = field(default_factory=dict)
    exact_partitions: bool = False


@dataclass(frozen=True, slots=True)
class TopicReport:
    """A topic as it is.

    Attributes:
        name: Its name.
        partitions: Its partitions.
        state: `created` or `present`.
    """

    name: str
    partitions: int
    state: TopicState


def topic_plans(settings: Settings, partitions: int) -> tuple[TopicPlan, ...]:
    """Every topic of the system; `partitions` is that of `interactions`."""
    arrival = {"message.timestamp.type": "LogAppendTime"}
    compacted = {"cleanup.policy": "compact"}

    def kept(milliseconds: int) -> dict[str, str]:
        return {"cleanup.policy": "delete", "retention.ms": str(milliseconds)}

    return (
        TopicPlan(
            settings.interactions_topic,
            partitions,
            {**kept(_INTERACTIONS_RETENTION_MS), **arrival},
            relied_upon=arrival,
            exact_partitions=True,
        ),
        TopicPlan(settings.dead_letter_topic, partitions, {**kept(_DEAD_LETTER_RETENTION_MS), **arrival}),
        TopicPlan(settings.courses_topic, 1, compacted, relied_upon=compacted),
        TopicPlan(settings.exposures_topic, partitions, {**kept(_EXPOSURES_RETENTION_MS), **arrival}),
    )


def topic_partitions(settings: Settings, partitions: int) -> dict[str, int]:
    """Topic → partitions, as the embedded broker takes them."""
    return {plan.name: plan.partitions for plan in topic_plans(settings, partitions)}


@contextmanager
def admin_client(settings: Settings) -> Iterator[KafkaAdminClient]:
    """An admin client of the settings' Kafka.

    Raises:
        ServiceUnavailable: Kafka does not answer within seconds, or stops answering inside the block.
    """
    servers = settings.kafka_bootstrap_servers
    _reach(servers)
    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # its retries are told in our one line
    try:
        client = KafkaAdminClient(
            bootstrap_servers=servers.split(","),
            api_version=settings.kafka_api_version_tuple,
            request_timeout_ms=int(_CONNECT_SECONDS * 2000),
            bootstrap_timeout_ms=int(_CONNECT_SECONDS * 1000),
        )
        try:
            yield client
        finally:
            client.close()
    except (KafkaError, OSError) as error:
        raise ServiceUnavailable(f"expected Kafka at {servers}, received {type(error).__name__}: {error}") from error


def _reach(servers: str) -> None:
    """Fails at once where nobody listens; the client would try for half a minute."""
    said: OSError | ValueError | None = None
    for server in servers.split(","):
        host, _, port = server.strip().rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()
        except (OSError, ValueError) as error:
            said = error
        else:
            return
    raise ServiceUnavailable(f"expected Kafka at {servers}, received {said}") from said


def ensure_topics(settings: Settings, partitions: int) -> list[TopicReport]:
    """Creates the topics that are missing and checks the others.

    Raises:
        ServiceUnavailable: Kafka does not answer, or refuses to create topics (the embedded broker does).
        TopologyMismatch: `interactions` has another partition count.
        ConfigurationError: A topic lacks a property that is relied upon.
    """
    plans = topic_plans(settings, partitions)
    with admin_client(settings) as client:
        before = _partition_counts(client, plans)
        for plan in plans:
            if plan.name in before:
                _check(client, plan, before[plan.name], embedded=settings.kafka_embedded)
        missing = [plan for plan in plans if plan.name not in before]
        if missing:
            _create(client, missing, settings)
    return [
        TopicReport(plan.name, before[plan.name], TopicState.PRESENT)
        if plan.name in before
        else TopicReport(plan.name, plan.partitions, TopicState.CREATED)
        for plan in plans
    ]


def partition_count(client: KafkaAdminClient, topic: str) -> int | None:
    """The partitions of a topic; None if it is not there."""
    leaders = partition_leaders(client, topic)
    return None if leaders is None else len(leaders)


def partition_leaders(client: KafkaAdminClient, topic: str) -> dict[int, int | None] | None:
    """Partition → the broker that leads it, None where none does; None if the topic is not there."""
    found = [row for row in client.describe_topics([topic]) if not row["error_code"]]
    if not found:
        return None
    leaders = {each["partition_index"]: each["leader_id"] for each in found[0]["partitions"]}
    return {number: None if leader < 0 else leader for number, leader in leaders.items()}


def _partition_counts(client: KafkaAdminClient, plans: Sequence[TopicPlan]) -> dict[str, int]:
    there = set(client.list_topics())  # describing a topic that is not there would create it on some brokers
    counted = {plan.name: partition_count(client, plan.name) for plan in plans if plan.name in there}
    return {name: count for name, count in counted.items() if count is not None}


def _check(client: KafkaAdminClient, plan: TopicPlan, partitions: int, *, embedded: bool) -> None:
    if plan.exact_partitions and partitions != plan.partitions:
        raise TopologyMismatch(
            f"expected topic {plan.name} with {plan.partitions} partitions, received {partitions}: "
            f"the partitions of a filled topic cannot change, use --partitions {partitions} or another topic"
        )
    if embedded or not plan.relied_upon:
        return  # the embedded broker knows no configuration
    resource = ConfigResource(ConfigResourceType.TOPIC, plan.name)
    described = client.describe_configs([resource], config_filter="all")
    actual = _values(described, plan.name)
    for name, value in plan.relied_upon.items():
        if actual.get(name) != value:
            raise ConfigurationError(
                f"expected topic {plan.name} with {name}={value}, received {actual.get(name)}: set it with "
                f"`kafka-configs --alter --entity-type topics --entity-name {plan.name} --add-config {name}={value}`"
            )


def _values(described: Mapping[str, Mapping[str, Mapping[str, Mapping[str, str]]]], topic: str) -> dict[str, str]:
    """Name → value of a topic's configuration, out of the admin client's answer."""
    return {name: entry["value"] for name, entry in described["topic"][topic].items()}


def _create(client: KafkaAdminClient, plans: Sequence[TopicPlan], settings: Settings) -> None:
    if settings.kafka_embedded:
        names = ", ".join(plan.name for plan in plans)
        raise ServiceUnavailable(
            f"the embedded broker has no topics {names} and makes its topics at its own start only: "
            "unset RECSYS_KAFKA_EMBEDDED for a real broker"
        )
    replicas = min(_MAX_REPLICAS, len(client.describe_cluster()["brokers"]))
    wanted = {
        plan.name: {
            "num_partitions": plan.partitions,
            "replication_factor": replicas,
            "configs": dict(plan.configuration),
        }
        for plan in plans
    }
    with contextlib.suppress(TopicAlreadyExistsError):  # another `recsys topics` was faster, and made the same
        client.create_topics(wanted)
    client.wait_for_topics(list(wanted))
