"""`ShardStore` on Redis: one script reads what a batch needs, one applies what it changes under the fence."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from redis.asyncio import Redis

from recsys.errors import ShardDamaged, UnreadableState
from recsys.keys import KeySpace, Shard
from recsys.online_store.operations import (
    CounterAdd,
    DeleteFields,
    Drop,
    HashText,
    Operation,
    PutValues,
    Read,
    ReadText,
    ReadValues,
    ReadWhole,
    SortedSetMark,
    SortedSetUnmark,
)
from recsys.online_store.redis.commit_script import COMMIT
from recsys.online_store.redis.connection import answering, offset_of, refusal
from recsys.online_store.redis.documents import Document, take_answer
from recsys.online_store.redis.read_script import READ_SHARD
from recsys.online_store.redis.users import SCAN_COUNT, UserIndex, scores_of
from recsys.online_store.values import Effects, ShardState


class RedisShards:
    """A shard's state and fence.

    Args:
        connection: A client in bytes mode without retries.
        keys: Spells the keys.
        users: The index of learners.

    Attributes:
        commit_script: The script that commits; the fault suite runs one without the fence.
    """

    commit_script: ClassVar[str] = COMMIT

    def __init__(self, connection: Redis, keys: KeySpace, users: UserIndex) -> None:
        self._client, self._keys, self._users = connection, keys, users
        self._read_shard = connection.register_script(READ_SHARD)
        self._commit = connection.register_script(self.commit_script)

    async def read_shard(self, shard: Shard, group: str, reads: Sequence[Read]) -> ShardState:
        place = _Place(
            shard, self._keys.tag(shard), self._keys.fence(shard, group), self._keys.commit_intent(shard, group)
        )
        return await self._read(place, reads)

    async def _read(self, place: _Place, reads: Sequence[Read]) -> ShardState:
        document = Document(place.tag)
        steps = [document.read_step(read) for read in reads]
        async with answering(place.tag):
            reply = await self._read_shard(keys=[place.fence, place.intent], args=[document.packed(steps)])
        fence, answers = _unrefused(place.shard, reply)
        state = ShardState(place.shard, offset_of(place.fence, fence), tag=place.tag)
        for read, answer in zip(reads, answers, strict=True):
            take_answer(state, read, answer)
        return state

    async def fence(self, shard: Shard, group: str) -> int | None:
        key = self._keys.fence(shard, group)
        async with answering(key):
            return offset_of(key, cast("bytes | None", await self._client.get(key)))

    async def commit(
        self, shard: Shard, group: str, expected_fence: int | None, new_fence: int, effects: Effects
    ) -> bool:
        place = _Place(
            shard, self._keys.tag(shard), self._keys.fence(shard, group), self._keys.commit_intent(shard, group)
        )
        return await self._apply(place, expected_fence, new_fence, effects.operations)

    async def _apply(
        self, place: _Place, expected_fence: int | None, new_fence: int, operations: Sequence[Operation]
    ) -> bool:
        document = Document(place.tag)
        steps = [step for operation in operations if (step := document.write_step(operation)) is not None]
        async with answering(place.tag):
            reply = await self._commit(
                keys=[place.fence, place.intent],
                args=[
                    "" if expected_fence is None else expected_fence,
                    new_fence,
                    document.packed(steps),
                    document.blob(),
                ],
            )
        if isinstance(reply, int):
            return bool(reply)
        _unrefused(place.shard, reply)
        return True

    async def self_test(self, shard: Shard) -> None:
        tag = self._keys.scratch_tag(shard, secrets.token_hex(4))
        place = _Place(shard, tag, f"{tag}:fence", f"{tag}:intent")
        operations: list[Operation] = [
            PutValues("values", {"a": {"x": b"1", "y": b"2"}}, indexed=True),
            DeleteFields("values", {"a": ["y"]}),
            HashText("text", ["x"], {"a": ["1"]}),
            SortedSetMark("marks", ["x"]),
            SortedSetUnmark("marks", ["x"]),
            CounterAdd("counters", {"x": 1}),
            Drop("dropped", ["a"], indexed=True),
        ]
        reads: list[Read] = [
            ReadValues("values", {"a": ["x"], "": ["x"]}),
            ReadWhole("values", ["a"]),
            ReadText("text", ["a"], "x"),
        ]
        try:
            await self._read(place, reads)
            await self._apply(place, None, 0, operations)
        finally:
            names = ("values:a", "text:a", "marks", "counters", "users", "indexed", "probe")
            async with answering(tag):
                await self._client.unlink(place.fence, place.intent, *(f"{tag}:{name}" for name in names))

    async def counts(self, shard: Shard) -> Mapping[str, int]:
        key = self._keys.counts(shard)
        async with answering(key):
            rows = await cast("Awaitable[dict[bytes, bytes]]", self._client.hgetall(key))
        try:
            return {name.decode(): int(value) for name, value in rows.items()}
        except ValueError:
            raise UnreadableState(key, "holds a count that is no integer") from None

    async def records(self, shard: Shard, user_id: str) -> Mapping[str, bytes]:
        key = self._keys.engagement(shard, user_id)
        async with answering(key):
            reply = await cast("Awaitable[dict[bytes, bytes]]", self._client.hgetall(key))
        try:
            return {course.decode(): packed for course, packed in reply.items()}
        except UnicodeDecodeError:
            raise UnreadableState(key, "holds a course that is no text") from None

    async def engagement(self, shard: Shard) -> AsyncIterator[tuple[str, Mapping[str, float]]]:
        async for users in self._users.slices(shard):
            pipeline = self._client.pipeline(transaction=False)
            for user in users:
                pipeline.hgetall(self._keys.engagement(shard, user))
            async with answering():
                replies = await pipeline.execute()
            for user, reply in zip(users, replies, strict=True):
                if reply:
                    yield user, scores_of(self._keys.engagement(shard, user), reply)

    async def drop_shards(self, shards: Sequence[Shard]) -> None:
        tags = tuple(f"{self._keys.tag(shard)}:".encode() for shard in shards)
        cursor: int | None = None
        while cursor != 0:
            async with answering("*"):
                cursor, found = await self._client.scan(cursor or 0, self._keys.every_shard_pattern, SCAN_COUNT)
                gone = [key for key in cast("list[bytes]", found) if key.startswith(tags)]
                if gone:
                    await self._client.unlink(*gone)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a script works: a shard, or scratch keys under its tag."""

    shard: Shard
    tag: str
    fence: str
    intent: str


def _unrefused(shard: Shard, reply: Sequence[Any]) -> Sequence[Any]:
    """What a script answered.

    Raises:
        ServiceUnavailable: Redis refuses a command for now; nothing was changed.
        UnreadableState: A key or a right is not as it has to be; nothing was changed.
        ShardDamaged: A commit was applied in part, this one or an earlier one.
    """
    status, *rest = reply
    if status == b"unreadable":
        raise refusal(rest[0].decode(), rest[1].decode())
    if status == b"damaged":
        key, _, problem = rest[0].decode().partition("\n")
        raise ShardDamaged(shard, key, problem or "the script did not come to its end")
    return rest
