"""`Guards` on Redis: starts at one fence, a record in isolation, poison records, a stop; one hash a shard."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import cast

import msgspec
from redis.asyncio import Redis

from recsys.errors import UnreadableState
from recsys.keys import KeySpace, Shard
from recsys.online_store.redis.connection import answering
from recsys.online_store.redis.scripts import BEGIN, COUNT_ATTEMPT
from recsys.online_store.values import Guard, Stop

QUARANTINED = "condemned:"
"""What the fields of quarantined offsets begin with, in the spelling that earlier releases write and read."""


class RedisGuards:
    """What has to outlive a worker.

    Args:
        connection: A client in bytes mode without retries.
        keys: Spells the keys.
    """

    def __init__(self, connection: Redis, keys: KeySpace) -> None:
        self._client, self._keys = connection, keys
        self._begin = connection.register_script(BEGIN)
        self._count_attempt = connection.register_script(COUNT_ATTEMPT)

    async def begin(self, shard: Shard, group: str) -> tuple[int | None, Guard]:
        fence_key, guard_key = self._keys.fence(shard, group), self._keys.guard(shard, group)
        try:
            async with answering():
                fence, rows = await self._begin(keys=[fence_key, guard_key])
        except UnreadableState as error:
            async with answering():
                is_fence = await self._client.type(fence_key) not in (b"string", b"none")
            raise UnreadableState(fence_key if is_fence else guard_key, error.problem, remedy=error.remedy) from error
        try:
            applied = None if fence is None else int(fence)
        except ValueError:
            raise UnreadableState(fence_key, "holds no offset") from None
        return applied, _guard(guard_key, dict(zip(rows[::2], rows[1::2], strict=True)))

    async def end(self, shard: Shard, group: str) -> None:
        async with answering(self._keys.guard(shard, group)):
            await self._client.hdel(self._keys.guard(shard, group), "fence", "starts", "suspect", "tries")

    async def count_attempt(self, shard: Shard, group: str, offset: int) -> int:
        async with answering(self._keys.guard(shard, group)):
            return int(await self._count_attempt(keys=[self._keys.guard(shard, group)], args=[offset]))

    async def quarantine(self, shard: Shard, group: str, offset: int) -> None:
        async with answering(self._keys.guard(shard, group)):
            await self._client.hset(self._keys.guard(shard, group), f"{QUARANTINED}{offset}", "1")

    async def set_rebuilt_until(self, shard: Shard, group: str, offset: int) -> None:
        async with answering(self._keys.guard(shard, group)):
            await self._client.hset(self._keys.guard(shard, group), "rebuilt_until", str(offset))

    async def stop_partition(self, shard: Shard, group: str, stop: Stop) -> None:
        async with answering(self._keys.guard(shard, group)):
            await self._client.hset(self._keys.guard(shard, group), "stop", msgspec.json.encode(stop).decode())

    async def resume_partition(
        self, shard: Shard, group: str, *, refusals_until: int | None = None, expired_until: int | None = None
    ) -> None:
        pipeline = self._client.pipeline(transaction=True)
        for name, offset in (("refusals_until", refusals_until), ("expired_until", expired_until)):
            if offset is not None:
                pipeline.hset(self._keys.guard(shard, group), name, str(offset))
        pipeline.hdel(self._keys.guard(shard, group), "stop")
        async with answering(self._keys.guard(shard, group)):
            await pipeline.execute()

    async def _test_guards(self, shard: Shard, group: str) -> None:
        """Runs both scripts and every command on the guard of a group that nobody uses, and deletes it."""
        try:
            await self.guard(shard, group)
            await self.set_rebuilt_until(shard, group, 0)
            async with answering(self._keys.guard(shard, group)):  # by itself: what a script is refused is not named
                await self._client.hincrby(self._keys.guard(shard, group), "starts", 1)
            await self.end(shard, group)
            for _ in range(2):  # the second time counts up what the first one set
                await self.begin(shard, group)
                await self.count_attempt(shard, group, 0)
            await self.end(shard, group)
        finally:
            async with answering(self._keys.guard(shard, group)):
                await self._client.unlink(self._keys.guard(shard, group))

    async def guard(self, shard: Shard, group: str) -> Guard:
        key = self._keys.guard(shard, group)
        async with answering(key):
            rows = await cast("Awaitable[dict[bytes, bytes]]", self._client.hgetall(key))
        return _guard(key, rows)


def _guard(key: str, fields: dict[bytes, bytes]) -> Guard:
    """The guard as a hash holds it.

    Raises:
        UnreadableState: A field holds something else.
    """
    try:
        return _parsed(fields)
    except (ValueError, msgspec.DecodeError):
        raise UnreadableState(key, "holds a field that is no guard's") from None


def _parsed(fields: dict[bytes, bytes]) -> Guard:
    attempted, stop = fields.get(b"suspect"), fields.get(b"stop")
    poison = [name[len(QUARANTINED) :] for name in fields if name.startswith(QUARANTINED.encode())]
    return Guard(
        starts=int(fields.get(b"starts", 0)),
        attempted=None if attempted is None else int(attempted),
        stop=None if stop is None else msgspec.json.decode(stop, type=Stop),
        refusals_until=int(fields.get(b"refusals_until", 0)),
        expired_until=int(fields.get(b"expired_until", 0)),
        rebuilt_until=int(fields.get(b"rebuilt_until", 0)),
        quarantined=tuple(sorted(map(int, poison))),
    )
