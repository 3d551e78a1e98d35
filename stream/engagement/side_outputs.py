"""Side outputs: refused records to the dead-letter topic, misrouted ones back to the topic under their right key.

Both are acknowledged by all replicas before the fence passes them. A repeat (a worker died in between) makes a second
dead letter, never a lost one; a misrouted record, or one that a merge hands on, is joined twice, which is as once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from recsys import dead_letters
from recsys.errors import ServiceUnavailable
from recsys.kafka.acknowledged import ACKNOWLEDGED, MAX_REQUEST_BYTES, close
from recsys.keys import Partition
from stream.engagement.fold import Misrouted, Refused

REQUEST_TIMEOUT_MS = 10_000
ACKNOWLEDGED_WITHIN_S = 12.0


class KafkaSideOutputs:
    """`outputs.SideOutputs` on Kafka: an idempotent producer whose every acknowledgement is waited for.

    Args:
        kafka: How an aiokafka client connects (`recsys.kafka.clients.aiokafka_options`).
        dead_letter_topic: Where refused records go.
        interactions_topic: Where misrouted records go again.
        make_producer: Makes an aiokafka producer.
        acknowledged_within_s: How long acknowledgements are waited for, in seconds.
    """

    def __init__(
        self,
        kafka: Mapping[str, Any],
        *,
        dead_letter_topic: str,
        interactions_topic: str,
        make_producer: Callable[..., AIOKafkaProducer] = AIOKafkaProducer,
        acknowledged_within_s: float = ACKNOWLEDGED_WITHIN_S,
    ) -> None:
        self._kafka, self._make_producer, self._within_s = kafka, make_producer, acknowledged_within_s
        self._dead_letter_topic = dead_letter_topic
        self._interactions_topic = interactions_topic
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._stopping: set[asyncio.Task[None]] = set()

    async def send(
        self, refused: Sequence[Refused], misrouted: Sequence[Misrouted], *, partition: Partition, now_ms: int
    ) -> None:
        """Sends all and returns when all are acknowledged.

        Raises:
            ServiceUnavailable: If any was not; sending the same again is safe.
        """
        if not refused and not misrouted:
            return
        try:
            async with asyncio.timeout(self._within_s):
                await self._send(refused, misrouted, partition, now_ms)
        except (KafkaError, OSError, TimeoutError) as error:
            self._give_up()
            raise ServiceUnavailable(f"Kafka did not acknowledge a dead letter or reroute: {error!r}") from error

    async def _send(
        self, refused: Sequence[Refused], misrouted: Sequence[Misrouted], partition: Partition, now_ms: int
    ) -> None:
        producer = await self._started()
        letters = (
            dead_letters.encode(
                each.record, each.error, topic=self._interactions_topic, partition=partition, now_ms=now_ms
            )
            for each in refused
        )
        acknowledgements = [await producer.send(self._dead_letter_topic, **letter._asdict()) for letter in letters]
        acknowledgements += [
            await producer.send(
                self._interactions_topic,
                key=stray.user_id.encode(),
                partition=stray.partition,
                value=stray.record.value,
                headers=list(stray.record.headers),
            )
            for stray in misrouted
        ]
        await asyncio.gather(*acknowledgements)

    async def close(self) -> None:
        """Stops the producer; waits for what is under way."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()

    def _give_up(self) -> None:
        """Leaves the producer behind: an idempotent one holds what was not acknowledged for ever.

        What it still delivers in the seconds that it is given to end is a second dead letter.
        """
        producer, self._producer = self._producer, None
        if producer is not None:
            stopping = asyncio.create_task(close(producer), name="side-outputs-stop")
            self._stopping.add(stopping)
            stopping.add_done_callback(self._stopping.discard)

    async def _started(self) -> AIOKafkaProducer:
        async with self._starting:  # partitions ask at the same time, and a second producer would never be stopped
            if self._producer is None:
                self._producer = await self._start()
            return self._producer

    async def _start(self) -> AIOKafkaProducer:
        producer = self._make_producer(
            **self._kafka,
            **ACKNOWLEDGED,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            max_request_size=MAX_REQUEST_BYTES,
        )
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        return producer
