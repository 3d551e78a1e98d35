"""What has to leave a hash or a set that grew above its bound. Read in pages: no call holds Redis up."""

from __future__ import annotations

import heapq
from collections.abc import Awaitable, Collection
from typing import cast

from redis.asyncio import Redis

from recsys.online_store.operations import Bound
from recsys.online_store.redis.connection import answering
from recsys.online_store.redis.users import sums_of

PAGE = 1000
"""Entries read by one call: about half a millisecond of Redis."""


async def surplus(connection: Redis, key: str, bound: Bound, *, added: Collection[str]) -> tuple[str, list[bytes]]:
    """The command that takes entries out of a key, and the entries.

    Args:
        connection: A client in bytes mode.
        key: A hash of doubles or a set.
        bound: What it may hold.
        added: Members that were added just now, which stay in a set.
    """
    async with answering(key):
        kind = await connection.type(key)
    if kind == b"hash":
        return "HDEL", await _lowest(connection, key, bound)
    return "SREM", await _arbitrary(connection, key, bound, {member.encode() for member in added})


async def _lowest(connection: Redis, key: str, bound: Bound) -> list[bytes]:
    values: dict[str, tuple[bool, float, str]] = {}
    spared = bound.spared or (lambda _: True)
    cursor: int | None = None
    while cursor != 0:
        async with answering(key):
            cursor, page = await connection.hscan(key, cursor or 0, count=PAGE)
        for course, value in sums_of(key, cast("dict[bytes, bytes]", page)).items():
            values[course] = (spared(course), value, course)
    return [field.encode() for *_, field in heapq.nsmallest(max(0, len(values) - bound.limit), values.values())]


async def _arbitrary(connection: Redis, key: str, bound: Bound, added: Collection[bytes]) -> list[bytes]:
    async with answering(key):
        members = await connection.scard(key)
        many = max(0, members - bound.limit)
        drawn = await cast("Awaitable[list[bytes]]", connection.srandmember(key, many + len(added)))
    return [member for member in drawn or [] if member not in added][:many]
