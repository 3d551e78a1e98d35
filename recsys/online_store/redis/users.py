"""The learners of a shard, without a walk over the whole key space.

The commit adds newcomers to a set, `users`. Releases up to d1a576b know no such set, may have filled the shard before
and may run beside this one: so `indexed` says up to which count of accepted events every commit kept the set. Where
that is not the shard's count, a walker scans the key space once, for all shards in use, and puts the set right.
"""

from __future__ import annotations

import secrets
import struct
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from typing import cast

from redis.asyncio import Redis

from recsys.errors import UnreadableState
from recsys.keys import KeySpace, Shard
from recsys.online_store.redis.connection import answering
from recsys.online_store.redis.topology import decode_topology

SCAN_COUNT = 500

IS_WHOLE = """
-- A shard in which no event was accepted has no learners to be found.
local accepted = redis.call('HGET', KEYS[2], 'accepted') or '0'
if (redis.call('GET', KEYS[1]) or 'whole:0') == 'whole:' .. accepted then return 1 end
return 0
"""

BEGIN_WALK = """
-- From here on, commits that keep the index move the count behind the walk's name; others do not.
redis.call('SET', KEYS[1], ARGV[1] .. ':' .. (redis.call('HGET', KEYS[2], 'accepted') or '0'))
return 1
"""

END_WALK = """
-- Whole only if every commit since the walk began kept the index, and no later walk has begun.
local accepted = redis.call('HGET', KEYS[2], 'accepted') or '0'
if redis.call('GET', KEYS[1]) ~= ARGV[1] .. ':' .. accepted then return 0 end
redis.call('SET', KEYS[1], 'whole:' .. accepted)
return 1
"""


class UserIndex:
    """Lists the learners of a shard.

    Args:
        connection: A client in bytes mode without retries.
        keys: Spells the keys.
    """

    def __init__(self, connection: Redis, keys: KeySpace) -> None:
        self._client, self._keys = connection, keys
        self._is_whole = connection.register_script(IS_WHOLE)
        self._begin_walk = connection.register_script(BEGIN_WALK)
        self._end_walk = connection.register_script(END_WALK)

    async def slices(self, shard: Shard) -> AsyncIterator[list[str]]:
        """Learners of a shard, each once, in slices. One whose engagement is gone may be among them."""
        if not await self._whole(shard):
            async with answering(self._keys.topology):
                value = await self._client.get(self._keys.topology)
            topology = decode_topology(self._keys.topology, cast("bytes | None", value))
            in_use = topology.shards() if topology is not None else ()
            await self._walk({shard, *[each for each in in_use if not await self._whole(each)]})
        cursor: int | None = None
        returned = set[bytes]()
        while cursor != 0:
            async with answering(self._keys.users(shard)):
                reply = await cast(
                    "Awaitable[tuple[int, list[bytes]]]",
                    self._client.sscan(self._keys.users(shard), cursor or 0, count=SCAN_COUNT),
                )
            cursor, found = reply
            fresh = set(found) - returned  # SSCAN may return a member twice
            returned |= fresh
            if fresh:
                yield sorted(user.decode() for user in fresh)

    async def _whole(self, shard: Shard) -> bool:
        async with answering(self._keys.indexed(shard)):
            return bool(await self._is_whole(keys=[self._keys.indexed(shard), self._keys.counts(shard)]))

    async def _walk(self, shards: set[Shard]) -> None:
        """One paged scan of the key space that fills the index of these shards."""
        walk = secrets.token_hex(8)
        for shard in shards:
            async with answering(self._keys.indexed(shard)):
                await self._begin_walk(keys=[self._keys.indexed(shard), self._keys.counts(shard)], args=[walk])
        cursor: int | None = None
        while cursor != 0:
            async with answering("*"):
                cursor, found = await self._client.scan(cursor or 0, self._keys.every_engagement_pattern, SCAN_COUNT)
            learners: defaultdict[Shard, list[str]] = defaultdict(list)
            for key in cast("Sequence[bytes]", found):
                learner = self._keys.learner_of_engagement(key.decode())
                if learner is not None and learner[0] in shards:
                    learners[learner[0]].append(learner[1])
            for shard, users in learners.items():
                async with answering(self._keys.users(shard)):
                    await self._client.sadd(self._keys.users(shard), *users)
        for shard in shards:
            async with answering(self._keys.indexed(shard)):
                await self._end_walk(keys=[self._keys.indexed(shard), self._keys.counts(shard)], args=[walk])


_SCORE = struct.Struct("<d").unpack_from
"""What `recsys.record.engagement_of` reads, without a call more for each course: a learner may have thousands."""


def scores_of(key: str, reply: Mapping[bytes, bytes]) -> dict[str, float]:
    """Course → engagement of a learner's hash of records as Redis returns it.

    Raises:
        UnreadableState: A value is no packed record.
    """
    try:
        return {course.decode(): _SCORE(value)[0] for course, value in reply.items()}
    except (struct.error, UnicodeDecodeError):
        raise UnreadableState(key, "holds a value that is no packed record") from None
