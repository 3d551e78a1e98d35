"""The published model on Redis: the pointer, its copy in every shard, and the lists of other models.

`model:current` says which model is published. A script that writes lists may touch keys of one shard only (on Redis
Cluster they lie in another slot than the pointer), so each shard keeps a copy of the pointer's value, byte for byte,
and the script compares with that.

A copy is brought up to date by compare-and-set: read the copy, then read the pointer, then set the copy if it still is
what was read. No two publications have the same value, so a process that was held up between these steps finds a copy
that somebody else has moved on, and leaves it. Publisher and workers do the same, hence a publisher that dies on the
way, a restored snapshot and a shard of a new generation all end with the right copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import msgspec
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from recsys.errors import UnreadableState
from recsys.keys import KeySpace, Shard
from recsys.online_store.redis.connection import answering
from recsys.online_store.redis.users import UserIndex
from recsys.online_store.values import ModelPointer

POINTER_REMEDY = "`recsys models rollback VERSION` writes it anew"
NEWEST_FORMAT = 1
ATTEMPTS = 5

MOVE_POINTER = """
-- KEYS: the pointer, the pointer before. ARGV: the pointer's value as read, its new value, whether the old one is kept.
-- Nothing is written unless the pointer still is what was read. An unreadable pointer ('over') is replaced as it is.
if ARGV[3] ~= 'over' then
  local value = redis.call('GET', KEYS[1])
  if (value or '') ~= ARGV[1] then return 0 end
  if value then redis.call('SET', KEYS[2], value) end
end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""

MOVE_COPY = """
-- KEYS: a shard's copy of the pointer. ARGV: the copy as read, the pointer. A copy of another type counts as none.
local copy = redis.pcall('GET', KEYS[1])
if type(copy) == 'table' then copy = false end
if (copy or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""

DROP_OUTDATED = """
-- KEYS: the shard's copy of the pointer, its dirty marks. ARGV: the shard's tag, then user ids.
-- A list that is not of the published model, or is no list, is deleted and its learner marked.
local copy = redis.call('GET', KEYS[1])
if not copy then return 0 end
local published, dropped = cjson.decode(copy).version, 0
for i = 2, #ARGV do
  local key = ARGV[1] .. ':top:' .. ARGV[i]
  local list = redis.pcall('GET', key)
  if list then
    -- A list is a msgpack array that begins with the user id and the version (`packing`). Its scores are of msgpack's
    -- binary type, which this unpacker refuses, so only the first two values are read.
    local read, _, _, version = pcall(cmsgpack.unpack_limit, list, 2, 1)
    if not read or version ~= published then
      redis.call('ZADD', KEYS[2], 'NX', 0, ARGV[i])
      redis.call('UNLINK', key)
      dropped = dropped + 1
    end
  end
end
return dropped
"""


class _Stored(msgspec.Struct, frozen=True):
    """The pointer as JSON; a release that changes its meaning raises `format`."""

    version: str
    path: str
    published_at_ms: int
    format: int = 1


class RedisPublication:
    """The pointer, its copies, and the lists of other models.

    Args:
        connection: A client in bytes mode without retries.
        keys: Spells the keys.
        users: The index of learners.
    """

    def __init__(self, connection: Redis, keys: KeySpace, users: UserIndex) -> None:
        self._client, self._keys, self._users = connection, keys, users
        self._move_pointer = connection.register_script(MOVE_POINTER)
        self._move_copy = connection.register_script(MOVE_COPY)
        self._drop_outdated = connection.register_script(DROP_OUTDATED)

    async def model(self) -> ModelPointer | None:
        return _pointer(self._keys.model_current, await self._value(self._keys.model_current))

    async def previous_model(self) -> ModelPointer | None:
        return _pointer(self._keys.model_previous, await self._value(self._keys.model_previous))

    async def restore_model(self, pointer: ModelPointer) -> None:
        async with answering(self._keys.model_current):
            await self._client.set(self._keys.model_current, msgspec.json.encode(pointer), nx=True)

    async def publish_model(
        self, pointer: ModelPointer, *, replacing: ModelPointer | None, over_unreadable: bool = False
    ) -> bool:
        value, how = None, "move"
        try:
            value = await self._value(self._keys.model_current)
            current = _pointer(self._keys.model_current, value)
        except UnreadableState:
            if not over_unreadable:
                raise
            how = "over"
        else:
            if current is not None and current != replacing:
                return False
        async with answering(self._keys.model_current):
            moved = await self._move_pointer(
                keys=[self._keys.model_current, self._keys.model_previous],
                args=[value or b"", msgspec.json.encode(pointer), how],
            )
        return bool(moved)

    async def sync_publication(self, shards: Sequence[Shard]) -> ModelPointer | None:
        for _ in range(ATTEMPTS):
            copies = await self._copies(shards)  # before the pointer is read: see the module's docstring
            value = await self._value(self._keys.model_current)
            pointer = _pointer(self._keys.model_current, value)
            if pointer is None or value is None:
                return None
            moved = [
                await self._copy(shard, copy, value)
                for shard, copy in zip(shards, copies, strict=True)
                if copy != value
            ]
            if all(moved):
                return pointer
        return None

    async def drop_outdated_lists(self, shard: Shard) -> int:
        dropped = 0
        async for users in self._users.slices(shard):
            async with answering(self._keys.dirty(shard)):
                dropped += await self._drop_outdated(
                    keys=[self._keys.published(shard), self._keys.dirty(shard)], args=[self._keys.tag(shard), *users]
                )
        return dropped

    async def _copies(self, shards: Sequence[Shard]) -> list[bytes | None]:
        pipeline = self._client.pipeline(transaction=False)
        for shard in shards:
            pipeline.get(self._keys.published(shard))
        async with answering():
            replies: list[Any] = await pipeline.execute(raise_on_error=False)
        return [None if isinstance(reply, ResponseError) else reply for reply in replies]

    async def _copy(self, shard: Shard, copy: bytes | None, value: bytes) -> bool:
        async with answering(self._keys.published(shard)):
            return bool(await self._move_copy(keys=[self._keys.published(shard)], args=[copy or b"", value]))

    async def _value(self, key: str) -> bytes | None:
        async with answering(key):
            try:
                value = cast("bytes | None", await self._client.get(key))
            except ResponseError as error:
                if not str(error).startswith("WRONGTYPE"):
                    raise
                raise UnreadableState(key, "is of another type than a model pointer", remedy=POINTER_REMEDY) from None
        return value


def _pointer(key: str, value: bytes | None) -> ModelPointer | None:
    if value is None:
        return None
    try:
        stored = msgspec.json.decode(value, type=_Stored)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise UnreadableState(key, "holds no model pointer", remedy=POINTER_REMEDY) from None
    if stored.format > NEWEST_FORMAT:
        raise UnreadableState(
            key, f"was written by a newer release (format {stored.format})", remedy="upgrade this process"
        )
    return ModelPointer(stored.version, stored.path, stored.published_at_ms)
