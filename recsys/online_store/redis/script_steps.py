"""What the Lua scripts of `shards.py` begin with: the steps they are given, and how a failure is named.

`read_script` reads what a batch needs of a shard, `commit_script` applies what it changes. Both know types of state and
none of their meaning. A script touches keys of one hash tag only (`KEYS[1]` routes it on a cluster), so it runs
atomically there too. They take one msgpack document, in which every list stands once and is named by its number,
because learners' ids are in most operations; and one binary argument, because `cmsgpack` refuses msgpack's binary type:
the values of hashes, in the order of the operations that consume them.

`unpack` puts its values on Lua's stack, which holds some thousand: all calls with many arguments go in slices.
"""

from __future__ import annotations

STEPS = """
-- ARGV[DOC]: {tag, lists, steps}; a step is {kind, state, ...} with the numbers of its lists.
local SLICE = 3000
local tag, lists, steps = doc[1], doc[2], doc[3]

-- The key and the command in hand, so that a failure can be named.
local at, doing = KEYS[1], ''

local function key_of(state, owner)
  if owner == '' then return tag .. ':' .. state end
  return tag .. ':' .. state .. ':' .. owner
end

-- redis.call raises a table in Redis 7 and a text before it.
local function said(problem)
  if type(problem) == 'table' then problem = problem.err end
  if doing ~= '' then return doing .. ': ' .. tostring(problem) end
  return tostring(problem)
end
"""
