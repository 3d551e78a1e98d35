"""Side outputs: refused records to the dead-letter topic, misrouted ones back to the topic under their right key.

Both are acknowledged by all replicas before the fence passes them. A repeat (a worker died in between) makes a second
dead letter, never a lost one; a misrouted record's event id makes it count once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, OutOfOrderSequenceNumber

from recsys.errors import ServiceUnavailable
from stream.chunks import Record
from stream.fold import Misrouted, Refused

REQUEST_TIMEOUT_MS = 10_000
REPLAY_COUNT_HEADER = "dlq.replay_count"


class SideOutputs:
    """Produces dead letters and rerouted records, idempotently, and waits for every acknowledgement.

    Args:
        bootstrap_servers: Kafka brokers.
        dead_letter_topic: Where refused records go.
        interactions_topic: Where misrouted records go again.
    """

    def __init__(self, bootstrap_servers: str, *, dead_letter_topic: str, interactions_topic: str) -> None:
        self._servers = bootstrap_servers
        self._dead_letter_topic = dead_letter_topic
        self._interactions_topic = interactions_topic
        self._producer: AIOKafkaProducer | None = None

    async def send(
        self, refused: Sequence[Refused], misrouted: Sequence[Misrouted], *, partition: int, now_ms: int
    ) -> None:
        """Sends all and returns when all are acknowledged.

        Raises:
            ServiceUnavailable: If any was not; sending the same again is safe.
        """
        if not refused and not misrouted:
            return
        try:
            producer = await self._started()
            acknowledgements = [
                await producer.send(
                    self._dead_letter_topic,
                    key=refusal.record.key,
                    value=refusal.record.value,
                    headers=self._headers(refusal, partition, now_ms),
                )
                for refusal in refused
            ]
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
        except OutOfOrderSequenceNumber as error:
            await self.close()  # aiokafka cannot go on with this producer id; the next call makes a new one
            raise ServiceUnavailable(f"expected an acknowledged dead letter, received {error!r}") from error
        except (KafkaError, OSError, TimeoutError) as error:
            raise ServiceUnavailable(f"expected an acknowledged dead letter, received {error!r}") from error

    async def close(self) -> None:
        """Stops the producer; waits for what is under way."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()

    async def _started(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = AIOKafkaProducer(
                bootstrap_servers=self._servers,
                enable_idempotence=True,
                acks="all",
                request_timeout_ms=REQUEST_TIMEOUT_MS,
                max_request_size=8_000_000,
            )
            await producer.start()
            self._producer = producer
        return self._producer

    def _headers(self, refusal: Refused, partition: int, now_ms: int) -> list[tuple[str, bytes | None]]:
        """The record's own headers unchanged, then KIP-1034's and ours."""
        record, error = refusal.record, refusal.error
        return [
            *((name, value) for name, value in record.headers if name != REPLAY_COUNT_HEADER),
            ("__streams.errors.exception", type(error).__name__.encode()),
            ("__streams.errors.message", error.detail.encode("utf-8", "replace")),
            ("__streams.errors.topic", self._interactions_topic.encode()),
            ("__streams.errors.partition", str(partition).encode()),
            ("__streams.errors.offset", str(record.offset).encode()),
            ("dlq.reason", error.reason.value.encode()),
            ("dlq.stage", b"decode" if error.reason != "fold_failed" else b"fold"),
            ("dlq.failed_at", str(now_ms).encode()),
            (REPLAY_COUNT_HEADER, replay_count(record)),
        ]


def replay_count(record: Record) -> bytes:
    """How often the record was replayed from the dead letters, as its header says; `0` where absent."""
    return next((value or b"0" for name, value in record.headers if name == REPLAY_COUNT_HEADER), b"0")
