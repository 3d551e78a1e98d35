"""A topic in memory, folded into a real Redis by the workers' own writers in this process: volume without Kafka.

Chunks have any size, partitions take turns at random, and chunks are delivered again now and then. What the writers
send (copies of misrouted records, hand-overs of merges, dead letters) comes back into the logs as it would from
Kafka.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Sequence
from typing import Any

from recsys.kafka.records import Chunk, Fetch
from recsys.keys import Partition, Topology
from recsys.online_store.redis.store import RedisStore
from recsys.settings import load_settings
from stream.engagement.commit import ShardWriter, WriterRules
from stream.engagement.fold import FoldRules
from stream.engagement.metrics import PartitionMetrics
from stream.engagement.side_outputs import KafkaSideOutputs
from tests.doubles.stream import FakeLog
from tests.faults.load import Produced
from tests.faults.topic import DeadLetter, LogRecord, as_dead_letter

GROUP = "in-process"
TOPIC, DEAD_LETTERS = "interactions", "interactions.dlq"
LARGEST_CHUNK = 2000
REDELIVERED = 0.05


class MemoryTopic:
    """Logs by partition, and the dead letters of their records.

    Args:
        partitions: Partition count.
        arrival_ms: When every record arrives.
    """

    def __init__(self, partitions: int, arrival_ms: int) -> None:
        self.logs: list[list[LogRecord]] = [[] for _ in range(partitions)]
        self.dead_letters: list[DeadLetter] = []
        self._arrival_ms = arrival_ms

    def produce(self, records: Iterable[Produced]) -> None:
        """Appends what a load produces."""
        for record in records:
            self.append(record.partition, record.key, record.value, ())

    def append(
        self, partition: int, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]]
    ) -> None:
        """Appends one record."""
        log = self.logs[partition]
        log.append(LogRecord(partition, len(log), self._arrival_ms, key, value, headers))

    @property
    def records(self) -> list[LogRecord]:
        """All of them."""
        return [record for log in self.logs for record in log]


class MemoryProducer:
    """As much of an aiokafka producer as side outputs use: everything is acknowledged at once."""

    def __init__(self, topic: MemoryTopic) -> None:
        self._topic = topic

    async def start(self) -> None:
        """Nothing to start."""

    async def stop(self) -> None:
        """Nothing to stop."""

    async def send(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        partition: int | None = None,
        headers: Sequence[tuple[str, bytes | None]] = (),
        **_: object,
    ) -> asyncio.Future[None]:
        """Appends the record; returns its acknowledgement."""
        if topic == DEAD_LETTERS:
            self._topic.dead_letters.append(as_dead_letter(LogRecord(0, 0, 0, key, value, headers)))
        else:
            assert partition is not None
            self._topic.append(partition, key, value, headers)
        acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        acknowledged.set_result(None)
        return acknowledged


async def fold_in_process(topic: MemoryTopic, redis_url: str, *, seed: int) -> None:
    """Folds all logs to their ends, and what is appended to them meanwhile."""
    rng, store, topology = random.Random(seed), RedisStore.for_stream(redis_url), Topology(len(topic.logs))
    outputs = KafkaSideOutputs(
        {},
        dead_letter_topic=DEAD_LETTERS,
        interactions_topic=TOPIC,
        make_producer=lambda **_: MemoryProducer(topic),
    )
    rules = WriterRules(FoldRules.of(load_settings(), topology), retry_s=10.0)
    ends = {partition: FakeLog(end=0) for partition in topology.every_partition()}
    writers = {
        partition: ShardWriter(
            partition,
            GROUP,
            store=store,
            outputs=outputs,
            rules=rules,
            kafka=log,
            metrics=PartitionMetrics(partition),
            clock=asyncio.get_running_loop().time,
            now_ms=lambda: 0,
        )
        for partition, log in ends.items()
    }
    read = dict.fromkeys(writers, 0)
    try:
        while left := [partition for partition in writers if read[partition] < len(topic.logs[partition])]:
            partition = rng.choice(left)
            at = max(0, read[partition] - (rng.randrange(500) if rng.random() < REDELIVERED else 0))
            records: Any = topic.logs[partition][at : at + rng.randint(1, LARGEST_CHUNK)]
            ends[partition].end = len(topic.logs[partition])
            applied = await writers[partition].apply(Chunk(Partition(partition), records, Fetch(0, at), 0))
            if applied.left_alone:
                raise RuntimeError(f"expected partition {partition} to go on, received a stop at {at}")
            read[partition] = max(read[partition], at + len(records))
    finally:
        await outputs.close()
        await store.close()
