"""One Redis database shared with others: nothing is read or written outside the prefix."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest
import redis

from recsys.keys import KeySpace, Shard, Topology
from recsys.online_store import CachedTop, ModelPointer, Trending
from recsys.online_store.redis.store import RedisStore
from recsys.settings.redis import RedisAddress
from tests.doubles.effects import effects

SHARD, GROUP, TOPOLOGY = Shard(3), "g", Topology(6)
POINTER = ModelPointer("v1", "/models/v1", 1)
FOREIGN = dict.fromkeys(("trending", "topology", "model:current", "model:previous"), b"another application's")


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as opened:
        yield opened


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[RedisStore]:
    opened = RedisStore.for_stream(replace(RedisAddress.parse(redis_url), key_prefix="ours:"))
    yield opened
    await opened.close()


async def use(store: RedisStore) -> None:
    """Every kind of key is written and read once."""
    await store.establish_topology(TOPOLOGY)
    await store.self_test(SHARD)
    await store.hold_worker_id("w1", "t", 10_000)
    changes = effects(engagement={"u": {"c": 1.0}}, done={"u": ["d"]}, trend={"c": 1.0}, counts={"accepted": 1})
    assert await store.commit(SHARD, GROUP, None, 5, changes)
    await store.begin(SHARD, GROUP)
    await store.publish_model(POINTER, replacing=None)
    await store.sync_publication([SHARD])
    await store.write_tops(SHARD, [(CachedTop("u", "v1", 1, ("c",), (1.0,)), 5)])
    await store.write_trending(Trending(1, ("c",), (1.0,)))
    assert await store.drop_outdated_lists(SHARD) == 0
    assert [user async for user, _ in store.engagement(SHARD)] == ["u"]


async def test_keys_of_other_applications_are_neither_read_nor_written(store: RedisStore, client: redis.Redis) -> None:
    client.mset(FOREIGN)
    client.set("{s3}:fence:g", 99)
    assert (await store.topology(), await store.model(), await store.trending()) == (None, None, None)
    await use(store)
    there = {key.decode() for key in client.scan_iter(count=1000)}
    assert {key for key in there if not key.startswith("ours:")} == {*FOREIGN, "{s3}:fence:g"}
    assert [client.get(key) for key in FOREIGN] == list(FOREIGN.values())
    assert (await store.fence(SHARD, GROUP), await store.generations()) == (5, [0])


async def test_dropped_shards_are_those_under_the_prefix(store: RedisStore, client: redis.Redis) -> None:
    await use(store)
    client.set("{s3}:eng:u", "another's")
    client.set("theirs:{s3}:eng:u", "another's")
    await store.drop_shards([SHARD])
    tag = KeySpace("ours:").tag(SHARD)
    assert [key for key in client.scan_iter(count=1000) if key.decode().startswith(f"{tag}:")] == []
    assert client.exists("{s3}:eng:u", "theirs:{s3}:eng:u") == 2


async def test_an_empty_prefix_is_the_layout_of_earlier_releases(redis_url: str, client: redis.Redis) -> None:
    store = RedisStore.for_stream(replace(RedisAddress.parse(redis_url), key_prefix=""))
    await use(store)
    await store.close()
    assert client.get("{s3}:fence:g") == b"5"
    assert client.exists("topology", "model:current", "trending", "worker:w1", "{s3}:eng:u", "{s3}:top:u") == 6
