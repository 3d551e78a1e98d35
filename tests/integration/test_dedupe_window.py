"""A repeat within one dedupe window changes nothing, hours later, on a real Redis; the time is the records' own."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from recsys.keys import Partition, Shard
from recsys.online_store.redis.store import RedisStore
from stream.engagement.commit import ShardWriter, WriterRules
from stream.engagement.metrics import PartitionMetrics
from tests.doubles.stream import HOUR_MS, RULES, FakeLog, FakeOutputs, chunk, event

GROUP = "g"
WINDOW_MS = RULES.dedupe_window_ms
BOUNDARY_MS = 1_700_000_000_000 // WINDOW_MS * WINDOW_MS
NOT_STATE = (b":fence:", b":counts", b":ids:", b":guard")


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


@pytest.mark.parametrize("first_ms", [BOUNDARY_MS, BOUNDARY_MS + 1, BOUNDARY_MS + WINDOW_MS // 2, BOUNDARY_MS - 1])
@pytest.mark.parametrize("later_ms", [1, HOUR_MS, WINDOW_MS // 2, WINDOW_MS - 1, WINDOW_MS])
async def test_a_repeat_within_one_window_changes_nothing(redis_url: str, first_ms: int, later_ms: int) -> None:
    store = RedisStore.for_stream(redis_url)
    try:
        at, again = first_ms - HOUR_MS, first_ms + later_ms
        first = event(0, id="e1", at=at, arrival=first_ms, kind="enroll")
        between = event(1, user="other", id="e1", at=at, arrival=first_ms + later_ms // 2)  # another learner's e1
        repeats = [
            event(2, id="e1", at=at, arrival=again, kind="enroll"),
            event(3, id="e1", at=at + 5, arrival=again, kind="rate", course="d", value=1),
        ]
        await writer(store).apply(chunk(first, between))
        before = state(redis_url)
        assert before
        await writer(store).apply(chunk(*repeats))
        assert state(redis_url) == before
        assert await store.counts(Shard(0)) == {"accepted": 2, "duplicate": 2}
        assert await store.fence(Shard(0), GROUP) == 3
    finally:
        await store.close()
