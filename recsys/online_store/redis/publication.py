"""The published model on Redis: the pointer, and its copy in every shard.

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
from recsys.online_store.pointer import Line, ModelPointer
from recsys.online_store.redis.connection import answering

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


class _Stored(msgspec.Struct, frozen=True, omit_defaults=True):
    """The pointer as JSON; a release that changes its meaning raises `format`.

    Releases without `line` pass it over: they serve and keep no list but the published model's.
    """

    version: str
    path: str
    published_at_ms: int
    format: int = 1
    line: Line | None = None


class RedisPublication:
    """The pointer and its copies.

    Args:
        connection: A client in bytes mode without retries.
        keys: Spells the keys.
    """

    def __init__(self, connection: Redis, keys: KeySpace) -> None:
        self._client, self._keys = connection, keys
        self._move_pointer = connection.register_script(MOVE_POINTER)
        self._move_copy = connection.register_script(MOVE_COPY)

    async def model(self) -> ModelPointer | None:
        return _pointer(self._keys.model_current, await self._value(self._keys.model_current))

    async def previous_model(self) -> ModelPointer | None:
        return _pointer(self._keys.model_previous, await self._value(self._keys.model_previous))

    async def restore_model(self, pointer: ModelPointer) -> None:
        async with answering(self._keys.model_current):
            await self._client.set(self._keys.model_current, _value_of(pointer), nx=True)

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
                args=[value or b"", _value_of(pointer), how],
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
    return ModelPointer(stored.version, stored.path, stored.published_at_ms, stored.line)


def _value_of(pointer: ModelPointer) -> bytes:
    return msgspec.json.encode(_Stored(pointer.version, pointer.path, pointer.published_at_ms, line=pointer.line))
