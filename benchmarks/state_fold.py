"""Folds a file of events into Redis as a worker does, without Kafka: `state_fold.py EVENTS.parquet REDIS_URL`.

Prints the outcomes as JSON. Every event arrives at `ARRIVAL_MS`, as in a replay of a history. It uses no more of the
code than commits have had since 31e9a26, so that `state_memory.py` can run it on an older one: PYTHONPATH says on
which.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq

from recsys.kafka.records import Record
from recsys.keys import Partition, Topology, partition_of
from recsys.online_store.redis.store import RedisStore
from recsys.settings import Settings
from stream.engagement.fold import FoldRules, decode_records, fold

PARTITIONS = 6
CHUNK = 2000
ARRIVAL_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
GROUP = "bench"
FIELDS = ("event_id", "user_id", "course_id", "type", "timestamp", "value", "into")


@dataclass(frozen=True, slots=True)
class OneRecord:
    """As much of a Kafka record as the fold reads."""

    offset: int
    value: bytes
    timestamp: int = ARRIVAL_MS
    key: bytes = b""
    headers: Sequence[tuple[str, bytes | None]] = ()


def chunks(path: str) -> Iterator[tuple[Partition, list[Record]]]:
    """The events as partitions' chunks, in the file's order."""
    there = [name for name in FIELDS if name in pq.read_schema(path).names]
    table = pq.read_table(path, columns=there)
    waiting: dict[Partition, list[Record]] = {Partition(number): [] for number in range(PARTITIONS)}
    offsets: Counter[Partition] = Counter()
    for batch in table.to_batches(max_chunksize=10_000):
        for row in batch.to_pylist():
            event = {name: value for name, value in row.items() if value is not None}
            partition = partition_of(event["user_id"], PARTITIONS)
            waiting[partition].append(OneRecord(offsets[partition], json.dumps(event).encode()))
            offsets[partition] += 1
            if len(waiting[partition]) == CHUNK:
                yield partition, waiting[partition]
                waiting[partition] = []
    yield from ((partition, records) for partition, records in waiting.items() if records)


async def fold_file(path: str, url: str) -> Counter[str]:
    """Commits every chunk; returns records by outcome.

    Raises:
        SystemExit: Something else writes to this Redis.
    """
    store, topology = RedisStore.for_stream(url), Topology(PARTITIONS)
    rules = FoldRules.of(Settings(), topology)
    fences: dict[Partition, int | None] = dict.fromkeys(topology.every_partition())
    counts: Counter[str] = Counter()
    try:
        for partition, records in chunks(path):
            shard, batch = topology.shard(partition), decode_records(records, partition, rules)
            state: Any = await store.read_shard(shard, GROUP, batch.reads(rules))
            effects = fold(batch, state, rules)
            if not await store.commit(shard, GROUP, fences[partition], records[-1].offset, effects):
                raise SystemExit("the fence moved: something else writes to this Redis")
            fences[partition] = records[-1].offset
            counts.update(effects.counts)
    finally:
        await store.close()
    return counts


if __name__ == "__main__":
    print(json.dumps(asyncio.run(fold_file(*sys.argv[1:]))))
