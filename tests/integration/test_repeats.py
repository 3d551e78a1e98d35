"""A repeat changes nothing in a real Redis, hours and years later, under its own id or another."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from recsys.keys import Partition, Shard
from recsys.online_store.redis.store import RedisStore
from stream.engagement.commit import ShardWriter, WriterRules
from stream.engagement.metrics import PartitionMetrics
from tests.doubles.stream import ARRIVAL, HOUR_MS, RULES, FakeLog, FakeOutputs, chunk, event

GROUP = "g"
NOT_STATE = (b":fence:", b":counts", b":guard", b":bot:")
"""Fence and counters move with every record, and the bot rules see every event."""


def state(url: str) -> dict[bytes, bytes | None]:
    """Everything a fold has effect on, as Redis dumps it."""
    with redis.Redis.from_url(url) as client:
        return {key: client.dump(key) for key in client.scan_iter() if not any(part in key for part in NOT_STATE)}


def writer(store: RedisStore) -> ShardWriter:
    """One that starts anew, as after a restart in between."""
    outputs: Any = FakeOutputs()
    rules = WriterRules(RULES, retry_s=1.0)
    partition = Partition(0)
    return ShardWriter(
        partition,
        GROUP,
        store=store,
        outputs=outputs,
        rules=rules,
        kafka=FakeLog(),
        metrics=PartitionMetrics(partition),
        clock=lambda: 0.0,
        now_ms=lambda: 0,
    )


@pytest.mark.parametrize("later_ms", [1, HOUR_MS, 72 * HOUR_MS, 365 * 24 * HOUR_MS])
@pytest.mark.parametrize("ids", ["e", "other-"])
async def test_a_repeat_changes_nothing(redis_url: str, later_ms: int, ids: str) -> None:
    store = RedisStore.for_stream(redis_url)
    try:
        at, again = ARRIVAL - HOUR_MS, ARRIVAL + later_ms
        first = [
            event(0, id="e0", at=at, kind="enroll"),
            event(1, id="e1", at=at, kind="rate", course="d", value=1),
        ]
        repeats = [
            event(2, id=f"{ids}1", at=at, arrival=again, kind="rate", course="d", value=1),
            event(3, id=f"{ids}0", at=at, arrival=again, kind="enroll"),
        ]
        await writer(store).apply(chunk(*first))
        before = state(redis_url)
        assert before
        await writer(store).apply(chunk(*repeats))
        assert state(redis_url) == before
        assert await store.counts(Shard(0)) == {"accepted": 2, "unchanged": 2}
        assert await store.fence(Shard(0), GROUP) == 3
    finally:
        await store.close()
