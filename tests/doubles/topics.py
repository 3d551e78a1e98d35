"""What tests change about topics on a real broker."""

from __future__ import annotations

from collections.abc import Mapping

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from recsys.kafka.admin import topic_configuration
from tests.doubles.commands import wait_until

WITHIN_S = 30.0


def alter_topic(client: KafkaAdminClient, topic: str, configuration: Mapping[str, str]) -> None:
    """Sets a topic's configuration and waits until a broker reports it.

    The controller answers as soon as it has written the change; each broker reads it a moment later, and until then
    checks and stamps records by the old value.
    """
    client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, dict(configuration))])
    wait_until(
        lambda: configuration.items() <= topic_configuration(client, topic).items(),
        within_s=WITHIN_S,
        what=f"topic {topic} with {dict(configuration)}",
    )
