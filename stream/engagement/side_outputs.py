"""Side outputs: refused records to the dead-letter topic, misrouted ones back to the topic under their right key.

Both are acknowledged by all replicas before the fence passes them. A repeat (a worker died in between) makes a second
dead letter, never a lost one; a misrouted record's event id makes it count once.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from recsys.errors import RefusalReason, ServiceUnavailable
from recsys.kafka.records import Record
from stream.engagement.fold import MAX_PRODUCED_BYTES, Misrouted, Refused, headers_bytes

REQUEST_TIMEOUT_MS = 10_000
REPLAY_COUNT_HEADER = "dlq.replay_count"
MAX_STACKTRACE_CHARS = 2_000
ACKNOWLEDGED_WITHIN_S = 12.0
MAX_REPLAY_COUNT_DIGITS = 6


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
        self._starting = asyncio.Lock()
        self._stopping: set[asyncio.Task[None]] = set()

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
            await asyncio.wait_for(self._send(refused, misrouted, partition, now_ms), ACKNOWLEDGED_WITHIN_S)
        except (KafkaError, OSError, TimeoutError) as error:
            self._give_up()
            raise ServiceUnavailable(f"expected an acknowledged dead letter, received {error!r}") from error

    async def _send(
        self, refused: Sequence[Refused], misrouted: Sequence[Misrouted], partition: int, now_ms: int
    ) -> None:
        producer = await self._started()
        acknowledgements = [
            await producer.send(self._dead_letter_topic, **self._letter(refusal, partition, now_ms))
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

    async def close(self) -> None:
        """Stops the producer; waits for what is under way."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()

    def _give_up(self) -> None:
        """Leaves the producer behind: an idempotent one holds what was not acknowledged for ever.

        What it still delivers once Kafka takes it is a second dead letter; then it ends.
        """
        producer, self._producer = self._producer, None
        if producer is not None:
            stopping = asyncio.create_task(producer.stop(), name="side-outputs-stop")
            self._stopping.add(stopping)
            stopping.add_done_callback(self._stopping.discard)

    async def _started(self) -> AIOKafkaProducer:
        async with self._starting:  # lanes ask at the same time, and a second producer would never be stopped
            if self._producer is None:
                self._producer = await self._start()
            return self._producer

    async def _start(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._servers,
            enable_idempotence=True,
            acks="all",
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            max_request_size=8_000_000,
        )
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        return producer

    def _letter(self, refusal: Refused, partition: int, now_ms: int) -> dict[str, Any]:
        """The record unchanged and its headers plus KIP-1034's and ours; what would make it too large is left out."""
        record, headers = refusal.record, self._error_headers(refusal, partition, now_ms)
        own = [(name, value) for name, value in record.headers if name != REPLAY_COUNT_HEADER]
        parts: dict[str, tuple[Any, int]] = {
            "key": (record.key, len(record.key or b"")),
            "headers": (own, headers_bytes(own)),
            "value": (record.value, len(record.value or b"")),
        }
        room, omitted = MAX_PRODUCED_BYTES - headers_bytes(headers), []
        letter: dict[str, Any] = {}
        for name, (part, size) in parts.items():
            letter[name] = part if size <= room else None
            omitted += [] if size <= room else [name]
            room -= size if size <= room else 0
        if omitted:
            headers.append(("dlq.omitted", ",".join(omitted).encode()))
        return {**letter, "headers": [*(letter["headers"] or []), *headers]}

    def _error_headers(self, refusal: Refused, partition: int, now_ms: int) -> list[tuple[str, bytes]]:
        """All values are text in UTF-8, as Kafka Streams writes them."""
        record, error = refusal.record, refusal.error
        texts = {
            "__streams.errors.exception": f"{type(error).__module__}.{type(error).__qualname__}: {error}",
            "__streams.errors.message": error.detail,
            "__streams.errors.stacktrace": stacktrace(error),
            "__streams.errors.topic": self._interactions_topic,
            "__streams.errors.partition": str(partition),
            "__streams.errors.offset": str(record.offset),
            "dlq.reason": error.reason.value,
            "dlq.stage": "fold" if error.reason is RefusalReason.FOLD_FAILED else "decode",
            "dlq.failed_at": str(now_ms),
        }
        headers = [(name, text.encode("utf-8", "replace")) for name, text in texts.items()]
        return [*headers, (REPLAY_COUNT_HEADER, replay_count(record))]


def stacktrace(error: BaseException) -> str:
    """Where the error was raised; with source lines and message only for the error it was raised from.

    A refusal by `decode` is no bug, and there may be thousands a second: formatting one in full takes most of a
    millisecond.
    """
    if error.__cause__ is not None:
        return "".join(traceback.format_exception(error.__cause__))[-MAX_STACKTRACE_CHARS:]
    places = ((frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__))
    return "".join(f'File "{code.co_filename}", line {line}, in {code.co_name}\n' for code, line in places)


def replay_count(record: Record) -> bytes:
    """How often the record was replayed from the dead letters, as its header says; `0` where it says no such thing."""
    said = next((value for name, value in record.headers if name == REPLAY_COUNT_HEADER), None)
    return said if said is not None and said.isdigit() and len(said) <= MAX_REPLAY_COUNT_DIGITS else b"0"
