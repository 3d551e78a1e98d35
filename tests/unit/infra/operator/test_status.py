"""Status shows what can be read, and names the key that cannot."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import redis

from infra.operator.status import _model_version, _partition_status
from recsys.keys import KeySpace, Partition, Topology
from recsys.online_store import Effects, ModelPointer
from recsys.online_store.redis.store import RedisStore
from recsys.settings import load_settings

KEYS = KeySpace()

TOPOLOGY, PARTITION = Topology(2), Partition(1)
SHARD = TOPOLOGY.shard(PARTITION)
GROUP = load_settings().consumer_group


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[RedisStore]:
    made = RedisStore.for_stream(redis_url)
    await made.commit(SHARD, GROUP, None, 4, Effects())
    yield made
    await made.close()


@pytest.mark.parametrize(
    ("key", "fence", "lag"),
    [(KEYS.fence(SHARD, GROUP), None, None), (KEYS.guard(SHARD, GROUP), 4, 5), (KEYS.counts(SHARD), 4, 5)],
)
async def test_a_key_that_cannot_be_read_is_named_beside_what_can(
    redis_url: str, store: RedisStore, key: str, fence: int | None, lag: int | None
) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.delete(key)
        client.rpush(key, "another application's")
    row = await _partition_status(store, load_settings(), TOPOLOGY, PARTITION, (0, 10))
    assert (row.fence, row.lag, row.log_end) == (fence, lag, 10)
    assert row.stopped is not None
    assert f"Redis key '{key}'" in row.stopped
    assert "run `recsys rebuild`" in row.stopped


async def test_a_model_pointer_that_cannot_be_read_is_named_beside_all_else(redis_url: str, store: RedisStore) -> None:
    assert await _model_version(store) is None
    await store.restore_model(ModelPointer("v1", "/m/v1", 5))
    assert await _model_version(store) == "v1"
    with redis.Redis.from_url(redis_url) as client:
        client.set(KEYS.model_current, "junk")
    assert "Redis key 'recsys:model:current'" in str(await _model_version(store))
