"""What a worker made of a log, read from Redis: what a repeated log must leave as it is, and its progress."""

from __future__ import annotations

from collections import Counter
from typing import Any

import redis

from recsys.keys import KeySpace, Topology
from recsys.online_store.redis.store import RedisStore
from recsys.settings import Settings

PARTITIONS = 6
COMPARED = ("eng", "done", "trend", "top", "erased", "merged")
"""States of a shard that a repeated log must leave as they are, byte by byte."""


def compared_keys(settings: Settings) -> dict[str, Any]:
    """Every key that a repeated log must leave as it is, by name, with all that it holds."""
    prefix = KeySpace(settings.redis_key_prefix).prefix
    found: dict[str, Any] = {}
    with redis.Redis.from_url(settings.redis_url) as client:
        for key in client.scan_iter(match=f"{prefix}{{s*", count=1000):
            name = key.decode()
            if name.partition("}:")[2].partition(":")[0] in COMPARED:
                found[name] = content(client, key)
    return found


def content(client: redis.Redis, key: bytes) -> Any:
    """All that a key holds, in an order that its encoding has no part in."""
    kind = client.type(key)
    if kind == b"hash":
        return sorted(client.hgetall(key).items())
    return sorted(client.smembers(key)) if kind == b"set" else client.get(key)


async def progress(settings: Settings) -> tuple[dict[str, int], int]:
    """Records folded by outcome, and learners that wait for a list."""
    store = RedisStore.for_stream(settings.redis)
    counts: Counter[str] = Counter()
    waiting = 0
    try:
        for shard in Topology(PARTITIONS).shards():
            counts.update(await store.counts(shard))
            waiting += len(await store.dirty_users(shard, 10))
    finally:
        await store.close()
    return dict(counts), waiting
