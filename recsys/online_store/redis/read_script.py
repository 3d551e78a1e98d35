"""The Lua script that reads the fence and all state that the fold of a batch needs of a shard (`script_steps`)."""

from __future__ import annotations

from recsys.online_store.redis.script_steps import STEPS

READ_SHARD = (
    """
local doc = cmsgpack.unpack(ARGV[1])
"""
    + STEPS
    + """
local read = {}

-- {values, sizes}: the fields of many hashes, false where absent, and for each hash how many fields it has, or -1 where
-- none that was asked for is absent. Two empty lists for a hash of the shard itself that is not there.
function read.values(state, owners, sizes, fields)
  local values, counts, n, first = {}, {}, 0, 1
  for o = 1, #owners do
    at, doing = key_of(state, owners[o]), 'HMGET'
    if owners[o] == '' then
      doing = 'HLEN'
      if redis.call('HLEN', at) == 0 then return {{}, {}} end
      doing = 'HMGET'
    end
    local last, absent = first + sizes[o] - 1, false
    for from = first, last, SLICE do
      local found = redis.call('HMGET', at, unpack(fields, from, math.min(from + SLICE - 1, last)))
      for i = 1, #found do
        n = n + 1
        values[n] = found[i]
        absent = absent or not found[i]
      end
    end
    counts[o] = -1
    if absent then
      doing = 'HLEN'
      counts[o] = redis.call('HLEN', at)
    end
    first = last + 1
  end
  return {values, counts}
end

-- Every field and value of many hashes.
function read.whole(state, owners)
  local hashes = {}
  doing = 'HGETALL'
  for o = 1, #owners do
    at = key_of(state, owners[o])
    hashes[o] = redis.call('HGETALL', at)
  end
  return hashes
end

-- One field of many hashes of text.
function read.text(state, owners, field)
  local values = {}
  doing = 'HGET'
  for o = 1, #owners do
    at = key_of(state, owners[o])
    values[o] = redis.call('HGET', at, field) or ''
  end
  return values
end

local fence, intent, answers
local whole, problem = pcall(function()
  doing = 'GET'
  fence = redis.call('GET', KEYS[1])
  at = KEYS[2]
  intent = redis.call('GET', KEYS[2])
  answers = {}
  for s = 1, #steps do
    local step = steps[s]
    local kind = step[1]
    if kind == 'values' then
      answers[s] = read.values(step[2], lists[step[3]], lists[step[4]], lists[step[5]])
    elseif kind == 'text' then
      answers[s] = read.text(step[2], lists[step[3]], step[4])
    else
      answers[s] = read.whole(step[2], lists[step[3]])
    end
  end
end)
if not whole then return {'unreadable', at, said(problem)} end
if intent then return {'damaged', intent} end
return {'ok', fence, answers}
"""
)
