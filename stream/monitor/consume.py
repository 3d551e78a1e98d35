"""The monitor's consumer: a group of its own, a chunk of each partition at a time, and a history to begin with.

The group's committed offsets only show how far the monitor is. At each assignment it goes back in the log by the hours
that popularity needs to be warm; what a worker has applied by then is not judged.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import KafkaError

from recsys.errors import ServiceUnavailable, UnreadableState
from recsys.kafka.records import READ_COMMITTED
from recsys.keys import Partition
from stream.monitor.judge import Judge

FETCH_WAIT_MS, POLL_MS = 100, 1000
AGAIN_S = 1.0

log = structlog.get_logger(__name__)


class GoesBack(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no type information
    """Moves each assigned partition back to what arrived since a time.

    Args:
        consumer: Whose partitions they are.
        since_ms: The time, ms since 1970 UTC, as of now.
    """

    def __init__(self, consumer: AIOKafkaConsumer, since_ms: Callable[[], int]) -> None:
        self._consumer, self._since_ms = consumer, since_ms

    async def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
        """Nothing is kept by partition."""

    async def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        """Seeks; a partition without a record since then begins with the next one."""
        partitions = list(assigned)
        if not partitions:
            return
        found = await self._consumer.offsets_for_times(dict.fromkeys(partitions, self._since_ms()))
        ends = await self._consumer.end_offsets(partitions)
        for partition in partitions:
            place = found[partition]
            self._consumer.seek(partition, ends[partition] if place is None else place.offset)


@asynccontextmanager
async def consumer_of(
    options: Mapping[str, Any], topic: str, group: str, *, most: int, since_ms: Callable[[], int]
) -> AsyncIterator[AIOKafkaConsumer]:
    """A started consumer.

    Raises:
        ServiceUnavailable: Kafka does not answer.
    """
    consumer = AIOKafkaConsumer(
        **options,
        group_id=group,
        enable_auto_commit=True,
        auto_offset_reset="earliest",
        isolation_level=READ_COMMITTED,
        fetch_max_wait_ms=FETCH_WAIT_MS,
        max_poll_records=most,
    )
    try:
        consumer.subscribe([topic], listener=GoesBack(consumer, since_ms))
        await consumer.start()
        yield consumer
    except KafkaError as error:
        raise ServiceUnavailable(f"Kafka does not answer: {error!r}") from error
    finally:
        await consumer.stop()


async def consume(consumer: AIOKafkaConsumer, judge: Judge, *, again_s: float = AGAIN_S) -> None:
    """Judges for ever. What cannot be judged for want of Redis is missed, and told once until it works again.

    Args:
        consumer: Where records come from.
        judge: Takes them.
        again_s: How long Redis is left alone after a failure, seconds.
    """
    told = ""
    while True:
        for partition, records in (await consumer.getmany(timeout_ms=POLL_MS)).items():
            try:
                await judge.take(Partition(partition.partition), records)
            except (ServiceUnavailable, UnreadableState) as error:
                if str(error) != told:
                    log.warning("chunk_not_judged", partition=partition.partition, error=str(error))
                told = str(error)
                await asyncio.sleep(again_s)
            else:
                told = ""
