"""`ShardStore` on Redis: one script reads what a fold needs, one applies what it changes under the fence."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import Any, cast

import msgspec
from redis.asyncio import Redis

from recsys import keys
from recsys.keys import Shard
from recsys.online_store.redis.connection import answering
from recsys.online_store.redis.scripts import COMMIT, READ_SHARD
from recsys.online_store.redis.users import SCAN_COUNT, sums_of, user_slices
from recsys.online_store.values import ID_DIGEST_BYTES, Effects, ShardRead, ShardState

TREND_SIZE = 10_000


class RedisShards:
    """A shard's state and fence.

    Args:
        connection: A client in bytes mode without retries.
        max_courses: Courses kept per learner; the lowest engagement is evicted.
        dedupe_window_s: Length of one dedupe bucket in seconds.
    """

    def __init__(self, connection: Redis, *, max_courses: int, dedupe_window_s: float) -> None:
        self._client = connection
        self._max_courses = max_courses
        self._ids_ttl_s = max(1, int(2 * dedupe_window_s))
        self._read_shard = connection.register_script(READ_SHARD)
        self._commit = connection.register_script(COMMIT)

    async def read_shard(self, shard: Shard, group: str, request: ShardRead) -> ShardState:
        users = list(request.touched)
        sizes = [len(courses) for courses in request.touched.values()]
        courses = [course for touched in request.touched.values() for course in touched]
        document = msgspec.msgpack.encode(
            [
                keys.tag(shard),
                keys.event_ids(shard, request.bucket),
                keys.event_ids(shard, request.bucket - 1),
                users,
                sizes,
                courses,
                request.courses,
            ]
        )
        async with answering():
            fence, seen, sums, bots = await self._read_shard(
                keys=[keys.fence(shard, group)], args=[document, b"".join(request.ids), ID_DIGEST_BYTES]
            )
        values = struct.unpack(f"<{len(courses) + len(request.courses)}d", sums)
        engagement, start = {}, 0
        for user, size in zip(users, sizes, strict=True):
            engagement[user] = values[start : start + size]
            start += size
        return ShardState(
            fence=None if fence is None else int(fence),
            seen=[flag == ord("1") for flag in seen],
            engagement=engagement,
            bots={user: features.decode() for user, features in zip(users, bots, strict=True)},
            trend=values[start:],
        )

    async def fence(self, shard: Shard, group: str) -> int | None:
        async with answering():
            value = await self._client.get(keys.fence(shard, group))
        return None if value is None else int(value)

    async def commit(
        self, shard: Shard, group: str, expected_fence: int | None, new_fence: int, effects: Effects
    ) -> bool:
        sums = [value for courses in effects.engagement.values() for value in courses.values()]
        floats = [*sums, *effects.trend.values()]
        document = msgspec.msgpack.encode(
            [
                keys.tag(shard),
                list(effects.engagement),
                [len(courses) for courses in effects.engagement.values()],
                [course for courses in effects.engagement.values() for course in courses],
                [[user, *courses] for user, courses in effects.done.items()],
                [[user, *_flat(fields)] for user, fields in effects.bots.items()],
                list(effects.trend),
                _flat(effects.counts),
                keys.event_ids(shard, effects.bucket),
                keys.event_ids(shard, effects.bucket - 2),
                self._ids_ttl_s,
                self._max_courses,
                TREND_SIZE,
            ]
        )
        async with answering():
            applied = await self._commit(
                keys=[keys.fence(shard, group)],
                args=[
                    "" if expected_fence is None else expected_fence,
                    new_fence,
                    document,
                    struct.pack(f"<{len(floats)}d", *floats),
                    b"".join(effects.ids),
                    ID_DIGEST_BYTES,
                ],
            )
        return bool(applied)

    async def counts(self, shard: Shard) -> Mapping[str, int]:
        async with answering():
            rows = await cast("Awaitable[dict[bytes, bytes]]", self._client.hgetall(keys.counts(shard)))
        return {name.decode(): int(value) for name, value in rows.items()}

    async def engagement(self, shard: Shard) -> AsyncIterator[tuple[str, Mapping[str, float]]]:
        async for users in user_slices(self._client, shard):
            pipeline = self._client.pipeline(transaction=False)
            for user in users:
                pipeline.hgetall(keys.engagement(shard, user))
            async with answering():
                replies = await pipeline.execute()
            for user, reply in zip(users, replies, strict=True):
                yield user, sums_of(reply)

    async def drop_shard(self, shard: Shard) -> None:
        cursor: int | None = None
        while cursor != 0:
            async with answering():
                cursor, found = await self._client.scan(cursor or 0, keys.shard_pattern(shard), SCAN_COUNT)
                if found:
                    await self._client.unlink(*found)


def _flat(fields: Mapping[str, Any]) -> list[Any]:
    return [part for item in fields.items() for part in item]
