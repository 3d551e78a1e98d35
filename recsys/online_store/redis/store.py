"""The online store on Redis: the four ports over one client, and no retries (`connection.py` says why)."""

from __future__ import annotations

import secrets
from typing import Any

from redis.asyncio import Redis

from recsys.keys import KeySpace, Shard
from recsys.online_store.redis.connection import client, key_space_of
from recsys.online_store.redis.control import RedisControl
from recsys.online_store.redis.guards import RedisGuards
from recsys.online_store.redis.holdings import RedisHoldings
from recsys.online_store.redis.lists import RedisLists
from recsys.online_store.redis.outdated_lists import RedisOutdatedLists
from recsys.online_store.redis.publication import RedisPublication
from recsys.online_store.redis.shards import RedisShards
from recsys.online_store.redis.users import UserIndex
from recsys.settings.redis import RedisAddress

STREAM_TIMEOUT_S = 5.0
DAY_S = 86_400


class RedisStore(
    RedisShards, RedisLists, RedisPublication, RedisOutdatedLists, RedisControl, RedisGuards, RedisHoldings
):
    """`OnlineStore` on one Redis, and what an erasure's receipt asks of it.

    Args:
        connection: A client in bytes mode without retries.
        keys: Spells the keys.
        top_ttl_s: Life of an untouched cached list in seconds.
    """

    def __init__(
        self,
        connection: Redis,
        keys: KeySpace | None = None,
        *,
        top_ttl_s: float = 30 * DAY_S,
    ) -> None:
        keys = keys or KeySpace()
        users = UserIndex(connection, keys)
        RedisShards.__init__(self, connection, keys, users)
        RedisLists.__init__(self, connection, keys, users, top_ttl_s=top_ttl_s)
        RedisPublication.__init__(self, connection, keys)
        RedisOutdatedLists.__init__(self, connection, keys, users)
        RedisControl.__init__(self, connection, keys)
        RedisGuards.__init__(self, connection, keys)
        RedisHoldings.__init__(self, connection, keys)

    async def self_test(self, shard: Shard) -> None:
        await super().self_test(shard)
        await self._test_lists(shard)
        await self._test_guards(shard, f"self-test:{secrets.token_hex(4)}")

    @classmethod
    def for_stream(cls, address: RedisAddress | str, **limits: Any) -> RedisStore:
        """A store that waits up to `STREAM_TIMEOUT_S` for Redis (workers and batch jobs)."""
        return cls(client(address, STREAM_TIMEOUT_S, max_connections=8), key_space_of(address), **limits)

    @classmethod
    def for_serving(cls, address: RedisAddress | str, timeout_ms: int = 50) -> RedisStore:
        """A store that waits at most `timeout_ms` to connect and to read, and never retries."""
        return cls(client(address, timeout_ms / 1000, max_connections=64), key_space_of(address))
