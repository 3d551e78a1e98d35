"""The way events go: to Kafka, acknowledged by all in-sync replicas, keyed by learner.

Connects in the background and stays connected: a broker that is away at start or later costs 503s, never the process.
An event whose acknowledgement did not come in time may still arrive afterwards; sending it again is safe, because a
repeated event id changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, ProducerClosed

from recsys.errors import ServiceUnavailable
from recsys.events import Interaction, encode
from recsys.kafka.acknowledged import ACKNOWLEDGED, close, must_be_replaced
from recsys.process.tasks import cancelled

CONNECT_TIMEOUT_S = 5.0
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 2.0

_log = structlog.get_logger(__name__)


class Stored(NamedTuple):
    """Where Kafka has an event.

    Attributes:
        partition: Of the topic.
        offset: In the partition; None where the broker had it already from a try whose acknowledgement was lost.
    """

    partition: int
    offset: int | None


class EventProducer(Protocol):
    """Where accepted events go."""

    @property
    def connected(self) -> bool:
        """Whether the brokers were there the last time."""
        ...

    async def start(self, wait_s: float) -> None:
        """Begins to connect; waits at most `wait_s` seconds for it."""
        ...

    async def send(self, events: Sequence[Interaction], *, arrival_ms: int) -> Sequence[Stored]:
        """Returns after every event was acknowledged, and says where each is.

        Raises:
            ServiceUnavailable: Not all were, in the time allowed.
        """
        ...

    async def close(self) -> None:
        """Releases the connections."""
        ...


class KafkaEventProducer:
    """`EventProducer` on Kafka: idempotent, acks all, no lingering, Kafka's default partitioner (murmur2 of the key).

    Args:
        kafka: How an aiokafka client connects (`recsys.kafka.clients.aiokafka_options`).
        topic: Where the events go.
        timeout_s: Longest wait for a connection and the acknowledgements of one call.
        reasons: Blocking; says for the log why Kafka cannot be used.
    """

    # aiokafka negotiates the protocol version with each broker, the embedded one too; it has no version to pin.

    def __init__(
        self,
        kafka: Mapping[str, Any],
        topic: str,
        *,
        timeout_s: float,
        reasons: Callable[[], str] = lambda: "",
    ) -> None:
        self._kafka = kafka
        self._topic = topic
        self._timeout_s = timeout_s
        self._reasons = reasons
        self._producer: AIOKafkaProducer | None = None
        self._available = asyncio.Event()
        self._broken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        """Whether a connection is held and has not been found broken."""
        return self._available.is_set()

    async def start(self, wait_s: float) -> None:
        """Begins to connect, for ever; waits at most `wait_s` seconds for the first success."""
        self._task = asyncio.create_task(self._stay_connected(), name="kafka-connection")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._available.wait()

    async def send(self, events: Sequence[Interaction], *, arrival_ms: int) -> Sequence[Stored]:
        """Produces the events and waits for every acknowledgement.

        Args:
            events: In the order they are to have within a partition.
            arrival_ms: When they arrived, ms since 1970 UTC; becomes the records' time.

        Returns:
            Where each event is, in the same order.

        Raises:
            ServiceUnavailable: Not all were acknowledged within the time-out.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._available.wait()
                return await self._deliver(events, arrival_ms)
        except TimeoutError:
            raise ServiceUnavailable(f"Kafka has not acknowledged the events within {self._timeout_s:g} s") from None
        except KafkaError as error:
            if must_be_replaced(error):
                self._available.clear()
                self._broken.set()
            raise ServiceUnavailable(f"Kafka has not acknowledged the events: {error!r}") from None

    async def close(self) -> None:
        """Ends the connection in bounded time."""
        if self._task is not None:
            await cancelled([self._task])
        await self._discard()

    async def _deliver(self, events: Sequence[Interaction], arrival_ms: int) -> Sequence[Stored]:
        producer = self._producer
        if producer is None:
            raise ProducerClosed
        # The record's time is the arrival the event was checked against, so a worker comes to the same verdict.
        acknowledgements = [
            await producer.send(self._topic, encode(event), key=event.user_id.encode(), timestamp_ms=arrival_ms)
            for event in events
        ]
        metadata = await asyncio.gather(*acknowledgements)
        return [Stored(each.partition, each.offset if each.offset >= 0 else None) for each in metadata]

    async def _stay_connected(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            if not await self._connect(first=pause_s == FIRST_PAUSE_S):
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                continue
            pause_s = FIRST_PAUSE_S
            await self._broken.wait()
            _log.warning("kafka_producer_replaced", topic=self._topic)
            await self._discard()

    async def _connect(self, *, first: bool) -> bool:
        self._producer = AIOKafkaProducer(**self._kafka, **ACKNOWLEDGED, linger_ms=0)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._producer.start()
        except (KafkaError, OSError, TimeoutError) as error:
            if first:
                reasons = await asyncio.to_thread(self._reasons) or repr(error)
                _log.warning("kafka_unreachable", servers=self._kafka["bootstrap_servers"], error=reasons)
            await self._discard()
            return False
        self._broken.clear()
        self._available.set()
        return True

    async def _discard(self) -> None:
        """Closes the producer in bounded time."""
        self._available.clear()
        producer, self._producer = self._producer, None
        if producer is None:
            return
        await close(producer)
