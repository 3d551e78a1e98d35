"""Walks over the learners of a shard, and the bytes of their sums."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Mapping
from typing import cast

from redis.asyncio import Redis

from recsys import keys
from recsys.keys import Shard
from recsys.online_store.redis.connection import answering

SCAN_COUNT = 500


async def user_slices(client: Redis, shard: Shard) -> AsyncIterator[list[str]]:
    """Users of a shard, each once, in slices (SCAN may return a key twice)."""
    cursor, returned = 0, set[str]()
    while True:
        async with answering():
            cursor, found = await client.scan(cursor, keys.engagement_pattern(shard), SCAN_COUNT)
        users = {keys.user_of_engagement(key.decode()) for key in cast("list[bytes]", found)} - returned
        returned |= users
        if users:
            yield sorted(users)
        if cursor == 0:
            return


def sums_of(reply: Mapping[bytes, bytes]) -> dict[str, float]:
    """A hash of 8-byte doubles as Redis returns it."""
    return {course.decode(): struct.unpack("<d", value)[0] for course, value in reply.items()}
