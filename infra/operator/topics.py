"""`recsys topics` creates the topics that are missing and checks the others. It never deletes, shrinks or alters one.

Two properties are relied upon: `interactions` carries the broker's own time on each record (LogAppendTime: a
record's timestamp is its arrival), and `courses` is compacted (the newest record of a course is the course).
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from kafka.errors import TopicAlreadyExistsError

from recsys.errors import ServiceUnavailable, TopologyMismatch
from recsys.kafka.admin import ARRIVAL, TIMESTAMP_TYPE, check_configuration, partition_counts
from recsys.kafka.clients import admin_client
from recsys.settings import Settings

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
    arrival = {TIMESTAMP_TYPE: ARRIVAL}
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


def ensure_topics(settings: Settings, partitions: int) -> list[TopicReport]:
    """Creates the topics that are missing and checks the others.

    Raises:
        ServiceUnavailable: Kafka does not answer, or refuses to create topics (the embedded broker does).
        TopologyMismatch: `interactions` has another partition count.
        ConfigurationError: A topic lacks a property that is relied upon.
    """
    plans = topic_plans(settings, partitions)
    with admin_client(settings) as client:
        before = partition_counts(client, [plan.name for plan in plans])
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


def _check(client: Any, plan: TopicPlan, partitions: int, *, embedded: bool) -> None:
    if plan.exact_partitions and partitions != plan.partitions:
        raise TopologyMismatch(
            f"expected topic {plan.name} with {plan.partitions} partitions, received {partitions}: "
            f"the partitions of a filled topic cannot change, use --partitions {partitions} or another topic"
        )
    if embedded or not plan.relied_upon:
        return  # the embedded broker knows no configuration
    check_configuration(client, plan.name, plan.relied_upon)


def _create(client: Any, plans: Sequence[TopicPlan], settings: Settings) -> None:
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
