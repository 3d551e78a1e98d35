"""A broker probe: whether Kafka answers another client about partitions that it does not answer this worker about.

What a worker asks before it takes silence for its own fault.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from faust.types.tuples import TP

REQUEST_MS = 3000
ANSWER_WITHIN_S = 10.0
START_WITHIN_S = 30.0
"""Two requests to each of some brokers that are away, one after the other."""


async def reachable_partitions(
    kafka: Mapping[str, Any],
    group: str,
    partitions: Collection[TP],
    *,
    make_client: Callable[..., AIOKafkaConsumer] = AIOKafkaConsumer,
    answer_within_s: float = ANSWER_WITHIN_S,
) -> set[TP]:
    """The partitions about which a client of its own is told all that a worker needs: the end offset, the commit.

    Args:
        kafka: How an aiokafka client connects (`recsys.kafka.clients.aiokafka_options`).
        group: The workers' consumer group; it is asked for its offsets, not joined.
        partitions: To ask about, of any topic.
        make_client: Makes an aiokafka consumer.
        answer_within_s: How long an answer about one partition is waited for, in seconds.

    Returns:
        A subset of them, empty if Kafka cannot be reached; never raises for it.
    """
    client = make_client(**kafka, group_id=group, enable_auto_commit=False, request_timeout_ms=REQUEST_MS)

    async def is_reachable(partition: TP) -> bool:
        try:
            async with asyncio.timeout(answer_within_s):
                await client.end_offsets([partition])
                await client.committed(partition)
        except (KafkaError, OSError, TimeoutError):
            return False
        return True

    try:
        async with asyncio.timeout(START_WITHIN_S):
            await client.start()
        reachable = await asyncio.gather(*map(is_reachable, partitions))
    except (KafkaError, OSError, TimeoutError):
        return set()
    finally:
        await client.stop()
    return {partition for partition, answered in zip(partitions, reachable, strict=True) if answered}
