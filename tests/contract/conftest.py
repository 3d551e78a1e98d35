from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from recsys.online_store import OnlineStore
from recsys.online_store.memory import MemoryStore
from recsys.online_store.redis.store import RedisStore


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[OnlineStore]:
    """Either adapter, empty."""
    if request.param == "memory":
        yield MemoryStore()
        return
    redis = RedisStore.for_stream(request.getfixturevalue("redis_url"))
    yield redis
    await redis.close()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[RedisStore]:
    """The adapter to Redis, empty."""
    store = RedisStore.for_stream(redis_url)
    yield store
    await store.close()
