"""`Lists` on Redis: cached lists, the learners that wait for one, and trending."""

from __future__ import annotations

import asyncio
import heapq
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import msgspec
from redis.asyncio import Redis

from recsys.course_sums.blocks import in_order, with_blocks
from recsys.errors import UnreadableState
from recsys.keys import STATE_FORMAT, KeySpace, Shard
from recsys.online_store.packing import pack_activity, pack_top, unpack_activity, unpack_top
from recsys.online_store.redis.connection import answering, read_json
from recsys.online_store.redis.scripts import WRITE_TOPS
from recsys.online_store.redis.users import UserIndex, scores_of
from recsys.online_store.values import AllActivity, CachedTop, Listed, ShardTrend, Trending, UserState, Waiting
from recsys.record.sums import SUM_BYTES, sum_of

TREND_PAGE = 1000
"""Courses read by one call: half a millisecond of Redis, and of the event loop between two other tasks."""

READ_AGAIN = 3
"""Tries at values and blocks of one moment. What is read at the last is taken: a moment later it is read anew."""

REWRITTEN = "the workers write it every few seconds; until then the features of the bundle stay"

_Scored = list[tuple[bytes, float]]


class RedisLists:
    """Cached lists, trending and dirty marks.

    Args:
        connection: A client in bytes mode without retries.
        keys: Spells the keys.
        users: The index of learners.
        top_ttl_s: Life of an untouched cached list in seconds.
    """

    def __init__(self, connection: Redis, keys: KeySpace, users: UserIndex, *, top_ttl_s: float) -> None:
        self._client, self._keys, self._users = connection, keys, users
        self._top_ttl_s = max(1, int(top_ttl_s))
        self._write_tops = connection.register_script(WRITE_TOPS)

    async def listed(self, shard: Shard, group: str, user_id: str) -> Listed:
        keys, pipeline = self._keys, self._client.pipeline(transaction=False)
        # In this order: a list that has no mark after the fence was read is that of the state at the fence, or newer.
        pipeline.get(keys.fence(shard, group))
        pipeline.zscore(keys.dirty(shard), user_id)
        pipeline.hget(keys.merged(shard), user_id)
        pipeline.get(keys.top(shard, user_id))
        pipeline.hgetall(keys.done(shard, user_id))
        async with answering():
            fence, mark, merged, value, done = await pipeline.execute(raise_on_error=False)
            for error in (value, done):
                if isinstance(error, Exception):
                    raise error
        courses = _done_of(keys.done(shard, user_id), done)
        try:
            top = None if value is None else unpack_top(value)
        except msgspec.DecodeError:
            top = None
        if top is not None and top.user_id != user_id:
            top = None
        if any(isinstance(reply, Exception) for reply in (fence, mark, merged)):
            return Listed(top, courses)
        return Listed(top, courses, _fence_of(fence), marked=mark is not None, merged=merged is not None)

    async def user_states(self, shard: Shard, user_ids: Sequence[str]) -> Sequence[UserState]:
        pipeline = self._client.pipeline(transaction=False)
        for user in user_ids:
            pipeline.hgetall(self._keys.engagement(shard, user))
            pipeline.hgetall(self._keys.done(shard, user))
        async with answering(self._keys.tag(shard)):
            replies = await pipeline.execute()
        return [
            self._user_state(shard, user, records, done)
            for user, records, done in zip(user_ids, replies[::2], replies[1::2], strict=True)
        ]

    def _user_state(
        self, shard: Shard, user: str, records: Mapping[bytes, bytes], done: Mapping[bytes, bytes]
    ) -> UserState:
        scores = scores_of(self._keys.engagement(shard, user), records)
        return UserState(scores, _done_of(self._keys.done(shard, user), done))

    async def dirty_users(self, shard: Shard, limit: int, *, newest: bool = False) -> Sequence[tuple[str, int]]:
        async with answering(self._keys.dirty(shard)):
            rows = await self._client.zrange(self._keys.dirty(shard), 0, limit - 1, desc=newest, withscores=True)
        return [(user.decode(), int(mark)) for user, mark in cast("_Scored", rows)]

    async def waiting(self, shard: Shard, *, newest: int, oldest: int) -> Waiting:
        key, pipeline = self._keys.dirty(shard), self._client.pipeline(transaction=False)
        pipeline.zcard(key)
        pipeline.zrange(key, 0, newest - 1, desc=True, withscores=True)
        pipeline.zrange(key, 0, oldest - 1, withscores=True)
        async with answering():
            count, late, early = await pipeline.execute()
        # Commits come between the three answers: a learner may be told of twice, by the later mark in the end.
        marks = {user.decode(): int(mark) for user, mark in cast("_Scored", [*late, *early])}
        return Waiting(tuple(marks.items()), count, int(early[0][1]) if early else None)

    async def write_tops(
        self, shard: Shard, tops: Sequence[tuple[CachedTop, int | None]], *, only_if_marked: bool = False
    ) -> int:
        if not tops:
            return 0
        args: list[Any] = [self._keys.tag(shard), self._top_ttl_s, int(only_if_marked)]
        for top, mark in tops:
            args += [top.user_id, "" if mark is None else mark, top.model_version, pack_top(top)]
        async with answering():
            return int(await self._write_tops(keys=[self._keys.dirty(shard), self._keys.published(shard)], args=args))

    async def _test_lists(self, shard: Shard) -> None:
        """Runs the script that writes lists, with every command, on scratch keys of the shard, and deletes them."""
        tag = self._keys.scratch_tag(shard, secrets.token_hex(4))
        dirty, published, top = f"{tag}:dirty", f"{tag}:published", f"{tag}:top:a"
        async with answering(tag):
            try:
                # One by one first: what a script is refused, Redis does not name.
                await self._client.set(top, b"", ex=self._top_ttl_s)
                await self._client.zadd(dirty, {"a": 1})
                await self._client.zscore(dirty, "a")
                await self._client.zrem(dirty, "b")
                await self._write_tops(keys=[dirty, published], args=[tag, self._top_ttl_s, 0, "a", 1, "v", b"list"])
            finally:
                await self._client.unlink(dirty, published, top)

    async def trend(self, shard: Shard, limit: int, *, known: Callable[[str], bool] | None = None) -> ShardTrend:
        every = _sums_of(self._keys.trend(shard), await self._course_sums(shard))
        sums = every if known is None else {course: stored for course, stored in every.items() if known(course)}
        best = heapq.nsmallest(limit, sums, key=lambda course: (-sums[course], course))
        return ShardTrend({course: sums[course] for course in best}, len(every) - len(sums))

    async def write_trending(self, trending: Trending) -> None:
        async with answering():
            await self._client.set(self._keys.trending, msgspec.json.encode(trending))

    async def trending(self) -> Trending | None:
        return await read_json(self._client, self._keys.trending, Trending)

    async def activity(self, shard: Shard) -> Mapping[str, bytes]:
        return {course: value[SUM_BYTES:] for course, value in (await self._course_sums(shard)).items()}

    async def _course_sums(self, shard: Shard) -> dict[str, bytes]:
        """Course → its sums, with the blocks that wait; read again when blocks were settled in between."""
        key = self._keys.terms(shard)
        for _ in range(READ_AGAIN):
            async with answering(key):
                blocks = cast("dict[bytes, bytes]", await self._client.hgetall(key))
            values = await self._settled_sums(shard)
            async with answering(key):
                left = cast("list[bytes]", await self._client.hkeys(key)) if blocks else []
            if blocks.keys() <= set(left):
                break
        if not blocks:
            return values
        try:
            waiting = in_order(blocks)
        except ValueError:
            raise UnreadableState(key, "holds a value that is no block of terms") from None
        try:
            return await asyncio.to_thread(with_blocks, values, waiting)
        except ValueError:
            raise UnreadableState(self._keys.trend(shard), "holds a value that is no sum") from None

    async def _settled_sums(self, shard: Shard) -> dict[str, bytes]:
        key, found, cursor = self._keys.trend(shard), dict[str, bytes](), None
        while cursor != 0:
            async with answering(key):
                cursor, page = await self._client.hscan(key, cursor or 0, count=TREND_PAGE)
            found |= {course.decode(): value for course, value in cast("dict[bytes, bytes]", page).items()}
        return found

    async def write_all_activity(self, merged: AllActivity) -> None:
        async with answering():
            await self._client.set(self._keys.all_activity, pack_activity(merged))

    async def all_activity(self) -> AllActivity | None:
        key = self._keys.all_activity
        async with answering(key):
            value = await self._client.get(key)
        if value is None:
            return None
        try:
            merged = unpack_activity(cast("bytes", value))
        except msgspec.DecodeError:
            raise UnreadableState(key, "holds no activity of courses", remedy=REWRITTEN) from None
        if merged.form != STATE_FORMAT:
            raise UnreadableState(key, f"is of another release (format {merged.form})", remedy=REWRITTEN)
        return merged


def _fence_of(reply: bytes | None) -> int | None:
    """A fence for a reader who does not need it: what is none is as if there was none."""
    return int(reply) if reply is not None and reply.isdigit() else None


def _done_of(key: str, reply: Mapping[bytes, bytes]) -> dict[str, int]:
    """Course → until when it is done.

    Raises:
        UnreadableState: A value is no time.
    """
    try:
        return {course.decode(): int(until) for course, until in reply.items()}
    except ValueError:
        raise UnreadableState(key, "holds a time that is no number") from None


def _sums_of(key: str, values: Mapping[str, bytes]) -> dict[str, float]:
    """Course → a shard's part of its trending.

    Raises:
        UnreadableState: A value is no compensated sum.
    """
    try:
        return {course: sum_of(value) for course, value in values.items()}
    except ValueError:
        raise UnreadableState(key, "holds a value that is no sum") from None
