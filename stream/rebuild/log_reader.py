"""Reads spans of a topic's partitions to their ends, in order of arrival over all partitions.

A record's timestamp is the broker's append time, so within a partition it never falls, and merging by it gives the
order in which the whole topic was written. This module never commits an offset and never joins a group.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from recsys.errors import ServiceUnavailable
from recsys.kafka.bounded import StallRule
from recsys.kafka.records import READ_COMMITTED, Record
from stream.rebuild.spans import Arrived, Span
from stream.transport.raw_records import patch_aiokafka_raw_records

RECORDS_A_PARTITION = 20_000
FETCH_BYTES_A_PARTITION = 8 * 1024 * 1024
"""Large slices: what the fold does once a learner and slice is then done for more events."""

POLL_MS = 1000


class LogReader:
    """Reads spans of a topic.

    Args:
        kafka: How an aiokafka client connects (`recsys.kafka.clients.aiokafka_options`).
        topic: The topic.
        spans: At most one a partition.
    """

    def __init__(self, kafka: Mapping[str, Any], topic: str, spans: Sequence[Span]) -> None:
        self._kafka, self._topic = kafka, topic
        self._ends = {TopicPartition(topic, span.partition): span for span in spans if span.start < span.end}
        self._pending: dict[Any, list[Record]] = {}

    async def read(self) -> AsyncIterator[list[Arrived]]:
        """Slices of all spans, in order of arrival.

        Raises:
            ServiceUnavailable: Kafka does not answer, or stops doing so.
        """
        if not self._ends:
            return
        patch_aiokafka_raw_records()
        consumer = AIOKafkaConsumer(
            **self._kafka,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level=READ_COMMITTED,
            max_partition_fetch_bytes=FETCH_BYTES_A_PARTITION,
        )
        try:
            await consumer.start()
            consumer.assign(list(self._ends))
            for tp, span in self._ends.items():
                consumer.seek(tp, span.start)
            while await self._fetch(consumer):
                yield self._slice()
        except (KafkaError, OSError) as error:
            servers = self._kafka["bootstrap_servers"]
            raise ServiceUnavailable(f"Kafka at {servers} stopped answering a rebuild: {error!r}") from error
        finally:
            await consumer.stop()

    async def _fetch(self, consumer: AIOKafkaConsumer) -> bool:
        """Waits until every partition that is not at its end has records pending; returns whether any has."""
        stall = StallRule(self._topic)
        while wanted := await self._unfinished(consumer):
            fetched = await consumer.getmany(*wanted, timeout_ms=POLL_MS, max_records=RECORDS_A_PARTITION * len(wanted))
            stall.check(sum([await consumer.position(tp) for tp in self._ends]))
            for tp, records in fetched.items():
                kept = [record for record in records if record.offset < self._ends[tp].end]
                if kept:
                    self._pending[tp] = kept
        return bool(self._pending)

    async def _unfinished(self, consumer: AIOKafkaConsumer) -> list[Any]:
        """Partitions without pending records that are not at the end of their span."""
        idle = [tp for tp in self._ends if tp not in self._pending]
        return [tp for tp in idle if await consumer.position(tp) < self._ends[tp].end]

    def _slice(self) -> list[Arrived]:
        """All pending records up to the time that every partition has reached."""
        until = min(max(record.timestamp for record in records) for records in self._pending.values())
        arrived: list[Arrived] = []
        for tp, records in list(self._pending.items()):
            cut = next((at for at, record in enumerate(records) if record.timestamp > until), len(records))
            arrived += [(tp.partition, record) for record in records[:cut]]
            if cut < len(records):
                self._pending[tp] = records[cut:]
            else:
                del self._pending[tp]
        arrived.sort(key=lambda item: item[1].timestamp)
        return arrived
