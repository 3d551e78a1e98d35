"""A Faust app over the interactions topic: settings on purpose, chunk transport, one agent that never acknowledges.

What a setting guards against is said beside it (docs/decisions/0003-faust-is-transport.md).
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

import faust
import faust.streams
from aiokafka.errors import KafkaError
from faust.types.tuples import TP

from recsys.errors import ConfigurationError, ServiceUnavailable
from recsys.kafka.clients import faust_options
from recsys.settings import Settings
from stream.transport.chunks import ChunkConsumer, ChunkTransport
from stream.transport.fetches import patch_aiokafka_fetch_results
from stream.transport.raw_records import patch_aiokafka_raw_records
from stream.transport.watchdog import ConsumerSilent

ANSWER_WITHIN_S = 10.0
HEARTBEATS_A_SESSION = 5


def create_app(
    settings: Settings,
    instance_id: str | None,
    deliver: Callable[[Any], Awaitable[None]],
    *,
    name: str = "engagement",
    group: str | None = None,
) -> faust.App:
    """Builds the app.

    Args:
        settings: Brokers, topic, group and chunk size.
        instance_id: Static group membership: a restart within the session time-out moves no partition. None for a
            member that leaves at once when it stops.
        deliver: Takes each Faust event (its value is a `Chunk`); must not raise, and acknowledges by `event.ack()`.
        name: Of the agent.
        group: Consumer group; None for the workers'.

    Raises:
        ConfigurationError: If Faust's compiled stream loop is missing (a broken installation, several times slower).
    """
    if getattr(faust.streams, "_CStreamIterator", None) is None:
        raise ConfigurationError("faust-streaming lacks its compiled stream loop: install its wheel")
    app = faust.App(
        settings.consumer_group if group is None else group,
        **faust_options(settings),
        **_options(settings, instance_id),
    )
    patch_aiokafka_raw_records()
    patch_aiokafka_fetch_results()
    app.transport = ChunkTransport(app.conf.broker_consumer, app)
    topic = app.topic(settings.interactions_topic, key_serializer="raw", value_serializer="raw")

    async def agent(stream: Any) -> None:
        async for event in stream.noack().events():
            await deliver(event)

    app.agent(topic, name=name, concurrency=1)(agent)
    return app


async def start_app(app: faust.App) -> None:
    """Starts the app.

    Raises:
        ServiceUnavailable: Kafka went away since it was asked for the topic.
    """
    try:
        await app.start()
    except KafkaError as error:
        raise ServiceUnavailable(f"Kafka cannot be reached: {error} (KAFKA_BOOTSTRAP_SERVERS)") from error


def _options(settings: Settings, instance_id: str | None) -> dict[str, Any]:
    """Faust's settings, each set on purpose."""
    return {
        "autodiscover": False,
        "web_enabled": False,  # the default binds all interfaces
        "datadir": tempfile.gettempdir() + "/recsys-faust",
        "store": "memory://",
        "key_serializer": "raw",
        "value_serializer": "raw",
        "topic_disable_leader": True,
        "topic_allow_declare": False,  # `recsys topics` creates topics
        "table_standby_replicas": 0,
        "processing_guarantee": "at_least_once",
        "consumer_auto_offset_reset": "earliest",
        "consumer_group_instance_id": instance_id,
        "broker_session_timeout": settings.worker_session_timeout_seconds,
        "broker_heartbeat_interval": settings.worker_session_timeout_seconds / HEARTBEATS_A_SESSION,
        "broker_request_timeout": 40.0,  # must not be below the session time-out
        "broker_max_poll_interval": 300.0,
        "broker_commit_interval": 1.0,
        "broker_commit_every": 500,
        "broker_max_poll_records": settings.worker_max_poll_records,
        "producer_acks": -1,
        "producer_request_timeout": 30.0,
        "stream_buffer_maxsize": 8,  # chunks, not records
        "stream_wait_empty": False,  # a rebalance waits for no chunk: the fence stops a late owner
        "worker_redirect_stdouts": False,
    }


@dataclass(frozen=True, slots=True)
class ConsumerLog:
    """A partition's log as the app's consumer shows it (`gaps.PartitionLog`)."""

    app: faust.App
    tp: TP

    async def seek(self, offset: int) -> int:
        """Moves the position; returns the epoch of chunks fetched from there.

        Raises:
            ConsumerSilent: The consumer does not do it in time.
        """
        consumer = cast("ChunkConsumer", self.app.consumer)
        if self.tp in consumer.assignment():  # else its next owner reads from the fence
            await self._answer(consumer.seek(self.tp, offset))
        return consumer.epochs.of(self.tp)

    def owned_since(self) -> int:
        """The epoch that began when the partition was last taken away from this worker."""
        return cast("ChunkConsumer", self.app.consumer).epochs.owned_since(self.tp)

    async def position(self) -> tuple[range, int | None]:
        """The last skipped offsets (read over, no record in them), and the offset that is read next.

        The offset is None while it is unknown.

        Raises:
            ConsumerSilent: Kafka does not answer in time.
        """
        consumer = cast("ChunkConsumer", self.app.consumer)
        position: tuple[range, int | None] = await self._answer(consumer.read_position(self.tp))
        return position

    async def unread(self) -> int:
        """Offsets between the consumer's position and the log's end.

        The position steps over control records of transactions, so a log that ends in one is read to its end.

        Raises:
            ConsumerSilent: Kafka does not answer in time.
        """
        _, log_end = await self.bounds()
        _, position = await self.position()
        return log_end if position is None else max(0, log_end - position)

    async def bounds(self) -> tuple[int, int]:
        """The log's first offset, and the offset after the last that can be read: open transactions cannot.

        Raises:
            ConsumerSilent: Kafka does not answer in time.
        """
        bounds: tuple[int, int] = await self._answer(cast("ChunkConsumer", self.app.consumer).bounds(self.tp))
        return bounds

    async def _answer(self, call: Awaitable[Any]) -> Any:
        about = f"partition {self.tp.partition} of {self.tp.topic}"
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                return await call
        except TimeoutError as error:
            raise ConsumerSilent(f"Kafka did not answer about {about} within {ANSWER_WITHIN_S:g} s") from error
        except Exception as error:  # whatever else the driver raises means the same here
            raise ConsumerSilent(f"Kafka did not answer about {about}: {error!r}") from error
