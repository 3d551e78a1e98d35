"""Cached lists on Redis that are not of the published model: which go at once, and which are ranked anew in turn.

The scripts compare with the shard's copy of the model pointer (`publication`), so what they do is right at the instant
at which they run, whatever the process that calls them knows.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

from redis.asyncio import Redis

from recsys.keys import KeySpace, Shard
from recsys.online_store.pointer import Line
from recsys.online_store.redis.connection import answering
from recsys.online_store.redis.users import UserIndex

# A list is a msgpack array that begins with the user id and the version (`packing`). Its scores are of msgpack's binary
# type, which Redis' unpacker refuses, so only the first two values are read. What is no list has no version.
_VERSION_OF = """
local function version_of(list)
  local read, _, _, version = pcall(cmsgpack.unpack_limit, list, 2, 1)
  return read and version or ''
end
"""

DROP_OUTDATED = (
    _VERSION_OF
    + """
-- KEYS: the shard's copy of the pointer, its dirty marks. ARGV: the shard's tag, then user ids.
-- A list that is neither of the published model nor of one that its line names, or is no list, is deleted and its
-- learner marked.
local copy = redis.call('GET', KEYS[1])
if not copy then return 0 end
local pointer, served, dropped = cjson.decode(copy), {}, 0
served[pointer.version] = true
if type(pointer.line) == 'table' then
  for _, version in ipairs(pointer.line.versions) do served[version] = true end
end
for i = 2, #ARGV do
  local key = ARGV[1] .. ':top:' .. ARGV[i]
  local list = redis.pcall('GET', key)
  if list and not served[version_of(list)] then
    redis.call('ZADD', KEYS[2], 'NX', 0, ARGV[i])
    redis.call('UNLINK', key)
    dropped = dropped + 1
  end
end
return dropped
"""
)

MARK_DUE = (
    _VERSION_OF
    + """
-- KEYS: the shard's copy of the pointer, its dirty marks. ARGV: the shard's tag, how many of the learners are in turn,
-- then user ids, those in turn first. The learner of an older list that the line names is marked, if they are in turn
-- or the next increment would drop the list.
local copy = redis.call('GET', KEYS[1])
local line = copy and cjson.decode(copy).line
if type(line) ~= 'table' then return 0 end
local behind, marked = {}, 0
for place, version in ipairs(line.versions) do behind[version] = place end
for i = 3, #ARGV do
  local list = redis.pcall('GET', ARGV[1] .. ':top:' .. ARGV[i])
  local place = list and behind[version_of(list)]
  if place and (i - 2 <= tonumber(ARGV[2]) or place >= line.most) then
    marked = marked + redis.call('ZADD', KEYS[2], 'NX', 0, ARGV[i])
  end
end
return marked
"""
)


class RedisOutdatedLists:
    """Walks over the cached lists of a shard.

    Args:
        connection: A client in bytes mode without retries.
        keys: Spells the keys.
        users: The index of learners.
    """

    def __init__(self, connection: Redis, keys: KeySpace, users: UserIndex) -> None:
        self._keys, self._users = keys, users
        self._drop_outdated = connection.register_script(DROP_OUTDATED)
        self._mark_due = connection.register_script(MARK_DUE)

    async def drop_outdated_lists(self, shard: Shard) -> int:
        dropped, keys = 0, [self._keys.published(shard), self._keys.dirty(shard)]
        async for users in self._users.slices(shard):
            async with answering(self._keys.dirty(shard)):
                dropped += await self._drop_outdated(keys=keys, args=[self._keys.tag(shard), *users])
        return dropped

    async def mark_due_lists(self, shard: Shard, line: Line) -> AsyncGenerator[int, None]:
        keys = [self._keys.published(shard), self._keys.dirty(shard)]
        async for users in self._users.slices(shard):
            in_turn = [user for user in users if line.in_turn(user)]
            others = [user for user in users if not line.in_turn(user)]
            async with answering(self._keys.dirty(shard)):
                marked = await self._mark_due(keys=keys, args=[self._keys.tag(shard), len(in_turn), *in_turn, *others])
            yield int(marked)
