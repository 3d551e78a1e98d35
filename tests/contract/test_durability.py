"""Whether Redis keeps what it was given, as it says itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import redis

from infra.devtools.local_redis import LocalRedis
from recsys.errors import ConfigurationError
from recsys.online_store.durability import Durability, check_eviction
from recsys.online_store.redis.store import RedisStore


async def durability(url: str) -> Durability:
    store = RedisStore.for_stream(url)
    try:
        return await store.durability()
    finally:
        await store.close()


async def test_what_redis_says(tmp_path: Path) -> None:
    server = LocalRedis(tmp_path)
    server.start()
    try:
        found = await durability(server.url)
        assert len(found.run_id or "") == 40
        assert replace(found, run_id=None) == Durability(
            "noeviction", append_only=True, snapshots=False, evicted_keys=0
        )
        with redis.Redis.from_url(server.url) as admin:
            admin.config_set("appendonly", "no")
            assert (await durability(server.url)).persists is False
            admin.config_set("save", "60 1")
            assert (await durability(server.url)).persists is True
            admin.config_set("maxmemory-policy", "allkeys-lru")
            found = await durability(server.url)
            with pytest.raises(ConfigurationError, match="allkeys-lru and must have noeviction"):
                check_eviction(found, allowed=False)
            check_eviction(found, allowed=True)
            admin.acl_setuser(
                "poor", enabled=True, passwords=["+secret"], keys=["*"], commands=["+@all", "-info", "-config"]
            )
        found = await durability(server.url.replace("redis://", "redis://poor:secret@"))
        assert (found, found.evicts, found.persists) == (Durability(), False, None)
        check_eviction(found, allowed=False)
    finally:
        server.close()


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-random", "volatile-lru", "volatile-ttl"])
def test_every_evicting_policy_is_refused(policy: str) -> None:
    with pytest.raises(ConfigurationError, match="RECSYS_REDIS_ALLOW_EVICTION"):
        check_eviction(Durability(policy), allowed=False)
