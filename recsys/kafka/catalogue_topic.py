"""Follows the catalogue's topic from its begin, outside any consumer group, for as long as a process lives.

The topic is compacted and small: each process reads all of it at its start, and again after an error. While Kafka is
away, or there is no such topic, what was read stays.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog

from recsys.errors import ServiceUnavailable
from recsys.kafka.bounded import missing_topic
from recsys.kafka.records import READ_COMMITTED

AGAIN_S = 5.0
POLL_MS = 500
POLL_RECORDS = 5_000
PAUSE_S = 1.0
"""Between two times that it is told, so that a catalogue that is edited all the time costs no more than that."""

PUT_OFF_S = 10.0
"""While more records wait to be read, what was read is told of only so often."""

log = structlog.get_logger(__name__)

Records = Sequence[tuple[bytes | None, bytes | None, int]]


class CatalogueTopic:
    """Hands a topic's records on as they come.

    Args:
        options: How aiokafka connects (`recsys.kafka.clients.aiokafka_options`).
        topic: The catalogue's topic.
        take: Takes records, key, value and offset each, those of one partition in their order. At once.
        tell: Told after records were taken, when no more wait or some time has passed.
        again_s: Seconds between two tries to reach Kafka.
        pause_s: Seconds between two times that it is told.
    """

    def __init__(
        self,
        options: dict[str, Any],
        topic: str,
        *,
        take: Callable[[Records], None],
        tell: Callable[[], Awaitable[None]],
        again_s: float = AGAIN_S,
        pause_s: float = PAUSE_S,
    ) -> None:
        self._options, self._topic, self._take, self._tell = options, topic, take, tell
        self._again_s, self._pause_s = again_s, pause_s
        self._said = ""

    async def run(self) -> None:
        """Reads for ever; says why it cannot, once until it could again."""
        from aiokafka.errors import KafkaError  # noqa: PLC0415 - clients are imported where they are used

        while True:
            try:
                await self._read()
            except Exception as error:
                if not isinstance(error, KafkaError | ServiceUnavailable | OSError):
                    log.exception("catalogue_not_followed", topic=self._topic)
                elif repr(error) != self._said:
                    self._said = repr(error)
                    log.warning("catalogue_not_followed", topic=self._topic, error=str(error) or repr(error))
            await asyncio.sleep(self._again_s)

    async def _read(self) -> None:
        from aiokafka import AIOKafkaConsumer  # noqa: PLC0415 - see above

        consumer = AIOKafkaConsumer(
            **self._options,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level=READ_COMMITTED,
        )
        try:
            await consumer.start()
            if self._topic not in await consumer.topics():  # asking for one by name would create it
                raise ServiceUnavailable(missing_topic(self._topic))
            consumer.subscribe([self._topic])  # without a group: all its partitions, also those that come later
            await self._follow(consumer)
        finally:
            await consumer.stop()

    async def _follow(self, consumer: Any) -> None:
        clock, untold_since, told_at = asyncio.get_running_loop().time, None, -self._pause_s
        while True:
            found = await consumer.getmany(timeout_ms=POLL_MS, max_records=POLL_RECORDS)
            for records in found.values():
                self._take([(record.key, record.value, record.offset) for record in records])
            now = clock()
            untold_since = now if found and untold_since is None else untold_since
            if untold_since is None or now - told_at < self._pause_s:
                continue
            if not found or now - untold_since > PUT_OFF_S or _is_all(consumer, found):
                untold_since, told_at = None, now
                await self._tell()
                self._said = ""


def _is_all(consumer: Any, found: Any) -> bool:
    """Whether nothing waits behind the records of these partitions."""
    return all(records[-1].offset + 1 >= (consumer.highwater(place) or 0) for place, records in found.items())
