"""Whether Kafka answers somebody else: what a worker asks before it takes silence for its own fault."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from faust.types.tuples import TP

REQUEST_MS = 3000
ANSWER_WITHIN_S = 10.0
START_WITHIN_S = 30.0
"""Two requests to each of some brokers that are away, one after the other."""


async def answered(kafka: Mapping[str, Any], group: str, partitions: Collection[TP]) -> set[TP]:
    """Those of the partitions about which a client of its own is told all that a worker needs to know.

    Args:
        kafka: How an aiokafka client connects (`recsys.kafka.clients.aiokafka_options`).
        group: The workers' consumer group; it is asked for its offsets, not joined.
        partitions: Of which topics ever.

    Returns:
        None of them if Kafka cannot be reached; never raises for it.
    """
    client = AIOKafkaConsumer(**kafka, group_id=group, enable_auto_commit=False, request_timeout_ms=REQUEST_MS)

    async def is_answered(partition: TP) -> bool:
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                await client.end_offsets([partition])
                await client.committed(partition)
        except (KafkaError, OSError, TimeoutError):
            return False
        return True

    try:
        async with asyncio.timeout(START_WITHIN_S):
            await client.start()
        told = await asyncio.gather(*map(is_answered, partitions))
    except (KafkaError, OSError, TimeoutError):
        return set()
    finally:
        await client.stop()
    return {partition for partition, known in zip(partitions, told, strict=True) if known}
