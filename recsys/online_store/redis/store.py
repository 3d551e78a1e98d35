"""The online store on Redis: one command, pipeline or script a method, and no retries (`connection.py` says why)."""

from __future__ import annotations

import heapq
import struct
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from typing import Any, TypeVar, cast

import msgspec
from redis.asyncio import Redis

from recsys import keys
from recsys.keys import Topology
from recsys.online_store import (
    ID_DIGEST_BYTES,
    CachedTop,
    Effects,
    ModelPointer,
    ShardRead,
    ShardState,
    Trending,
    UserState,
)
from recsys.online_store.packing import pack_top, unpack_top
from recsys.online_store.redis.connection import answering, client
from recsys.online_store.redis.guards import RedisGuards
from recsys.online_store.redis.scripts import COMMIT, HOLD, READ_SHARD, RELEASE, REPLACE, WRITE_TOPS

STREAM_TIMEOUT_S = 5.0
TREND_SIZE = 10_000
SCAN_COUNT = 500
DAY_S = 86_400

_Form = TypeVar("_Form")
_Scored = list[tuple[bytes, float]]


class RedisStore(RedisGuards):
    """`OnlineStore` on one Redis.

    Args:
        connection: A client in bytes mode without retries.
        max_courses: Courses kept per learner; the lowest engagement is evicted.
        dedupe_window_s: Length of one dedupe bucket in seconds.
        top_ttl_s: Life of an untouched cached list in seconds.
    """

    def __init__(
        self,
        connection: Redis,
        *,
        max_courses: int = 2000,
        dedupe_window_s: float = DAY_S,
        top_ttl_s: float = 30 * DAY_S,
    ) -> None:
        super().__init__(connection)
        self._max_courses = max_courses
        self._ids_ttl_s = max(1, int(2 * dedupe_window_s))
        self._top_ttl_s = max(1, int(top_ttl_s))
        self._read_shard = connection.register_script(READ_SHARD)
        self._commit = connection.register_script(COMMIT)
        self._write_tops = connection.register_script(WRITE_TOPS)
        self._hold = connection.register_script(HOLD)
        self._release = connection.register_script(RELEASE)
        self._replace = connection.register_script(REPLACE)

    @classmethod
    def for_stream(cls, url: str, **limits: Any) -> RedisStore:
        """A store that waits up to `STREAM_TIMEOUT_S` for Redis (workers and batch jobs)."""
        return cls(client(url, STREAM_TIMEOUT_S, max_connections=8), **limits)

    @classmethod
    def for_serving(cls, url: str, timeout_ms: int = 50) -> RedisStore:
        """A store that waits at most `timeout_ms` to connect and to read, and never retries."""
        return cls(client(url, timeout_ms / 1000, max_connections=64))

    async def read_shard(self, shard: int, group: str, request: ShardRead) -> ShardState:
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

    async def fence(self, shard: int, group: str) -> int | None:
        async with answering():
            value = await self._client.get(keys.fence(shard, group))
        return None if value is None else int(value)

    async def commit(
        self, shard: int, group: str, expected_fence: int | None, new_fence: int, effects: Effects
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

    async def dirty_users(self, shard: int, limit: int, *, newest: bool = False) -> Sequence[tuple[str, int]]:
        async with answering():
            rows = await self._client.zrange(keys.dirty(shard), 0, limit - 1, desc=newest, withscores=True)
        return [(user.decode(), int(mark)) for user, mark in cast("_Scored", rows)]

    async def user_states(self, shard: int, user_ids: Sequence[str]) -> Sequence[UserState]:
        pipeline = self._client.pipeline(transaction=False)
        for user in user_ids:
            pipeline.hgetall(keys.engagement(shard, user))
            pipeline.smembers(keys.done(shard, user))
        async with answering():
            replies = await pipeline.execute()
        return [
            UserState(_sums(replies[i]), frozenset(course.decode() for course in replies[i + 1]))
            for i in range(0, len(replies), 2)
        ]

    async def write_tops(
        self, shard: int, tops: Sequence[tuple[CachedTop, int | None]], *, only_if_marked: bool = False
    ) -> None:
        if not tops:
            return
        args: list[Any] = [keys.tag(shard), self._top_ttl_s, int(only_if_marked)]
        for top, mark in tops:
            args += [top.user_id, "" if mark is None else mark, pack_top(top)]
        async with answering():
            await self._write_tops(keys=[keys.dirty(shard)], args=args)

    async def top(self, shard: int, user_id: str) -> tuple[CachedTop | None, frozenset[str]]:
        pipeline = self._client.pipeline(transaction=False)
        pipeline.get(keys.top(shard, user_id))
        pipeline.smembers(keys.done(shard, user_id))
        async with answering():
            value, done = await pipeline.execute()
        courses = frozenset(course.decode() for course in done)
        if value is None:
            return None, courses
        try:
            top = unpack_top(value)
        except msgspec.DecodeError:
            return None, courses
        return (top if top.user_id == user_id else None), courses

    async def mark_all_dirty(self, shard: int) -> int:
        marked = 0
        async for users in self._user_slices(shard):
            async with answering():
                # NX: a user who waits already keeps the mark of the event that made the list stale.
                await self._client.zadd(keys.dirty(shard), dict.fromkeys(users, 0), nx=True)
            marked += len(users)
        return marked

    async def trend(self, shard: int, limit: int) -> Mapping[str, float]:
        async with answering():
            sums = _sums(await cast("Awaitable[dict[bytes, bytes]]", self._client.hgetall(keys.trend(shard))))
        best = heapq.nsmallest(limit, sums, key=lambda course: (-sums[course], course))
        return {course: sums[course] for course in best}

    async def write_trending(self, trending: Trending) -> None:
        async with answering():
            await self._client.set(keys.TRENDING, msgspec.json.encode(trending))

    async def trending(self) -> Trending | None:
        return await self._json(keys.TRENDING, Trending)

    async def model(self) -> ModelPointer | None:
        return await self._json(keys.MODEL_CURRENT, ModelPointer)

    async def restore_model(self, pointer: ModelPointer) -> None:
        async with answering():
            await self._client.set(keys.MODEL_CURRENT, msgspec.json.encode(pointer), nx=True)

    async def publish_model(self, pointer: ModelPointer) -> None:
        async with answering():
            current = await self._client.get(keys.MODEL_CURRENT)
            if current is not None:
                await self._client.set(keys.MODEL_PREVIOUS, current)
            await self._client.set(keys.MODEL_CURRENT, msgspec.json.encode(pointer))

    async def topology(self) -> Topology | None:
        return await self._json(keys.TOPOLOGY, Topology)

    async def establish_topology(self, topology: Topology) -> Topology:
        async with answering():
            await self._client.set(keys.TOPOLOGY, msgspec.json.encode(topology), nx=True)
        return cast("Topology", await self.topology())

    async def switch_topology(self, before: Topology | None, topology: Topology) -> bool:
        async with answering():
            value = await self._client.get(keys.TOPOLOGY)
            if (None if value is None else msgspec.json.decode(value, type=Topology)) != before:
                return False
            return bool(await self._replace(keys=[keys.TOPOLOGY], args=[value or b"", msgspec.json.encode(topology)]))

    async def drop_shard(self, shard: int) -> None:
        cursor: int | None = None
        while cursor != 0:
            async with answering():
                cursor, found = await self._client.scan(cursor or 0, keys.shard_pattern(shard), SCAN_COUNT)
                if found:
                    await self._client.unlink(*found)

    async def engagement(self, shard: int) -> AsyncIterator[tuple[str, Mapping[str, float]]]:
        async for users in self._user_slices(shard):
            pipeline = self._client.pipeline(transaction=False)
            for user in users:
                pipeline.hgetall(keys.engagement(shard, user))
            async with answering():
                replies = await pipeline.execute()
            for user, reply in zip(users, replies, strict=True):
                yield user, _sums(reply)

    async def counts(self, shard: int) -> Mapping[str, int]:
        async with answering():
            rows = await cast("Awaitable[dict[bytes, bytes]]", self._client.hgetall(keys.counts(shard)))
        return {name.decode(): int(value) for name, value in rows.items()}

    async def hold_worker_id(self, worker_id: str, token: str, ttl_ms: int) -> bool:
        async with answering():
            return bool(await self._hold(keys=[keys.worker(worker_id)], args=[token, ttl_ms]))

    async def release_worker_id(self, worker_id: str, token: str) -> None:
        async with answering():
            await self._release(keys=[keys.worker(worker_id)], args=[token])

    async def ping(self) -> None:
        async with answering():
            await self._client.ping()

    async def close(self) -> None:
        await self._client.aclose()

    async def _user_slices(self, shard: int) -> AsyncIterator[list[str]]:
        """Users of a shard, each once, in slices (SCAN may return a key twice)."""
        cursor, returned = 0, set[str]()
        while True:
            async with answering():
                cursor, found = await self._client.scan(cursor, keys.engagement_pattern(shard), SCAN_COUNT)
            users = {keys.user_of_engagement(key.decode()) for key in cast("list[bytes]", found)} - returned
            returned |= users
            if users:
                yield sorted(users)
            if cursor == 0:
                return

    async def _json(self, key: str, form: type[_Form]) -> _Form | None:
        async with answering():
            value = await self._client.get(key)
        return None if value is None else msgspec.json.decode(value, type=form)


def _flat(fields: Mapping[str, Any]) -> list[Any]:
    return [part for item in fields.items() for part in item]


def _sums(reply: Mapping[bytes, bytes]) -> dict[str, float]:
    return {course.decode(): struct.unpack("<d", value)[0] for course, value in reply.items()}
