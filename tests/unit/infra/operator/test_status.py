"""Status shows what can be read, and names the key that cannot."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import redis

from infra.operator.status import _beside_its_log, _foreign, _model_version, _partition_status
from recsys.keys import KeySpace, Partition, Topology
from recsys.online_store import Effects, ModelPointer
from recsys.online_store.redis.store import RedisStore
from recsys.owner import LogIdentity, StateOwner
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


async def test_a_fence_beyond_the_log_s_end_has_no_lag(store: RedisStore) -> None:
    read = await _partition_status(store, load_settings(), TOPOLOGY, PARTITION, (0, 4))
    row = _beside_its_log(read, (0, 4))
    assert (row.fence, row.lag) == (4, None)
    assert row.stopped is not None
    assert "fence 4 lies beyond the log's end 4" in row.stopped
    assert "`recsys rebuild`" in row.stopped


async def test_a_worker_that_moved_on_since_the_log_was_asked_is_none_of_that(store: RedisStore) -> None:
    read = await _partition_status(store, load_settings(), TOPOLOGY, PARTITION, (0, 4))
    row = _beside_its_log(read, (0, 6))
    assert (row.fence, row.log_end, row.lag, row.stopped) == (4, 6, 1, None)


def test_state_of_another_log_is_named() -> None:
    settings = load_settings()
    then, now = (LogIdentity(settings.interactions_topic, topic_id) for topic_id in ("id-a", "id-b"))
    held = StateOwner(settings.deployment, settings.consumer_group, then)
    assert _foreign(settings, held, then) is None
    problem = _foreign(settings, held, now)
    assert problem is not None
    assert "id-a" in problem
    assert "id-b" in problem
