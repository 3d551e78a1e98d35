"""Ids are remembered by the log's time: no wall clock lets one run out, and no bucket outlives the log's window."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from recsys.errors import UnreadableState
from recsys.keys import KeySpace, Shard
from recsys.online_store.redis.store import RedisStore
from stream.engagement.fold import decode_records, fold
from tests.doubles.stream import ARRIVAL, RULES, FakeRecord, event

KEYS = KeySpace()
GROUP, SHARD, WINDOW_MS = "g", Shard(0), RULES.dedupe_window_ms
BUCKET = ARRIVAL // WINDOW_MS


async def apply(store: RedisStore, *records: FakeRecord) -> dict[str, int]:
    batch = decode_records(records, 0, RULES)  # type: ignore[arg-type]
    state = await store.read_shard(SHARD, GROUP, batch.reads(RULES))
    effects = fold(batch, state, RULES)
    assert await store.commit(SHARD, GROUP, state.fence, records[-1].offset, effects)
    return dict(effects.counts)


def arrived(offset: int, windows: float, **fields: str) -> FakeRecord:
    return event(offset, arrival=int((BUCKET + windows) * WINDOW_MS), at=BUCKET * WINDOW_MS, **fields)


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as opened:
        yield opened


def buckets(client: redis.Redis) -> set[int]:
    return {int(key.decode().rpartition(":")[2]) for key in client.scan_iter("recsys:{s0}:ids:*")}


async def test_no_id_runs_out_while_no_worker_reads_the_log(redis_url: str, client: redis.Redis) -> None:
    store = RedisStore.for_stream(redis_url)
    assert await apply(store, arrived(0, 0, id="x")) == {"accepted": 1}
    assert client.ttl(KEYS.event_ids(SHARD, BUCKET)) == -1  # else a worker that was away for two days counts it again
    assert await apply(store, arrived(1, 0, id="x")) == {"duplicate": 1}
    await store.close()


async def test_a_time_to_live_that_the_release_before_set_is_taken_away(redis_url: str, client: redis.Redis) -> None:
    store = RedisStore.for_stream(redis_url)
    client.sadd(KEYS.event_ids(SHARD, BUCKET), b"i" * 12)
    client.expire(KEYS.event_ids(SHARD, BUCKET), 100)
    await apply(store, arrived(0, 0, id="x"))
    assert client.ttl(KEYS.event_ids(SHARD, BUCKET)) == -1
    await store.close()


@pytest.mark.parametrize("away", [2, 3, 7, 400])
async def test_buckets_the_log_has_passed_are_dropped_however_far_it_went_on(
    redis_url: str, client: redis.Redis, away: int
) -> None:
    store = RedisStore.for_stream(redis_url)
    await apply(store, arrived(0, 0))
    await apply(store, arrived(1, 1))
    assert buckets(client) == {BUCKET, BUCKET + 1}
    await apply(store, arrived(2, 1 + away))
    assert buckets(client) == {BUCKET + 1 + away}
    await apply(store, arrived(3, 2 + away))
    assert buckets(client) == {BUCKET + 1 + away, BUCKET + 2 + away}
    await store.close()


async def test_a_log_whose_time_goes_back_a_little_drops_nothing_it_needs(redis_url: str, client: redis.Redis) -> None:
    store = RedisStore.for_stream(redis_url)
    await apply(store, arrived(0, 1, id="x"))
    await apply(store, arrived(1, 0, id="y"))
    await apply(store, arrived(2, 1.5, id="z"))
    assert buckets(client) == {BUCKET, BUCKET + 1}
    assert await apply(store, arrived(3, 1.6, id="x")) == {"duplicate": 1}
    await store.close()


async def test_a_log_whose_time_went_back_leaves_no_bucket_behind(redis_url: str, client: redis.Redis) -> None:
    store = RedisStore.for_stream(redis_url)
    for offset, windows in enumerate((1, 0, 5)):
        await apply(store, arrived(offset, windows))
    assert buckets(client) == {BUCKET + 5}
    await store.close()


async def test_a_newest_bucket_that_is_none_is_named(redis_url: str, client: redis.Redis) -> None:
    store = RedisStore.for_stream(redis_url)
    client.hset("recsys:{s0}:dedupe", "newest", "yesterday")
    with pytest.raises(UnreadableState, match=r"\{s0\}:dedupe"):
        await apply(store, arrived(0, 0))
    await store.close()
