"""The shards of generations that are not in use stay until somebody says so, and none in use goes with them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from recsys.errors import ConfigurationError
from recsys.keys import Partition, Topology
from recsys.online_store import Effects
from recsys.online_store.redis.store import RedisStore
from recsys.settings import load_settings
from stream.rebuild.command import _drop_unused

GROUP = "g"


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[RedisStore]:
    opened = RedisStore.for_stream(redis_url)
    yield opened
    await opened.close()


async def test_only_generations_that_are_not_in_use_are_dropped(redis_url: str, store: RedisStore) -> None:
    settings = load_settings(redis_url=redis_url)
    with pytest.raises(ConfigurationError, match="no topology"):
        await _drop_unused(settings)
    for generation in (0, 2, 3):
        for partition in (Partition(0), Partition(1)):
            shard = Topology(2, generation).shard(partition)
            assert await store.commit(shard, GROUP, None, generation, Effects())
    await store.establish_topology(Topology(2, 2))
    assert await _drop_unused(settings) == [0, 3]
    assert await store.generations() == [2]
    assert await store.fence(Topology(2, 2).shard(Partition(1)), GROUP) == 2
