"""The Lua script that applies a batch's effects to a shard and moves its fence, all or nothing (`script_steps`).

It is long and stays whole: one atomic step, in which everything that can fail comes before the first change.
"""

from __future__ import annotations

from recsys.online_store.redis.script_steps import STEPS

FENCE_CHECK = "if (fence or '') ~= ARGV[1] then return 0 end"
"""What makes a commit happen once. By a name of its own so that the fault suite can take it out."""

COMMIT = (
    """
local fence = redis.pcall('GET', KEYS[1])
if type(fence) == 'table' then return {'unreadable', KEYS[1], fence.err} end
"""
    + FENCE_CHECK
    + """
local doc = cmsgpack.unpack(ARGV[3])
local blob = ARGV[4]
"""
    + STEPS
    + """
-- KEYS[2] is written before the first change and deleted after the last. While it stands, a commit was applied in part:
-- applying it again would count its sums twice, so nothing is applied to the shard any more.
local intent = redis.call('GET', KEYS[2])
if intent then return {'damaged', intent} end

-- 1. Everything that can fail, before the first change: the type of every key, and every command on a scratch key.

local WRITES = {  -- kind of step → the commands it writes with, and arguments that suit a scratch key
  values = {{'HSET', 'a', '0'}, {'SADD', 'a'}},
  fields = {{'HDEL', 'a'}},
  text = {{'HSET', 'a', '0'}},
  marks = {{'ZADD', '0', 'a'}},
  unmark = {{'ZREM', 'a'}},
  counters = {{'HSET', 'a', '1'}},
  drop = {{'SREM', 'a'}},
}
local SIZE = {values = 'HLEN', fields = 'HLEN', text = 'HLEN', marks = 'ZCARD', unmark = 'ZCARD'}
local scratch, proven = tag .. ':probe', {}

local function prove(kind)
  for _, write in ipairs(WRITES[kind]) do
    if not proven[write[1]] then
      proven[write[1]] = true
      at, doing = scratch, write[1]
      redis.call(write[1], scratch, unpack(write, 2))
      redis.call('UNLINK', scratch)
    end
  end
  doing = ''
end

local keys, before = {}, {}  -- step → owner's number → key, and entries before the commit

local function check(s, kind, state, owners)
  local names, sizes, command = {}, {}, SIZE[kind]
  doing = command
  for o = 1, #owners do
    at = key_of(state, owners[o])
    names[o] = at
    sizes[o] = redis.call(command, at)
  end
  keys[s], before[s] = names, sizes
end

-- A count: up to 15 digits, which a double holds exactly, and none of them a leading zero.
local function countable(text)
  return #text <= 15 and (text == '0' or string.match(text, '^-?[1-9]%d*$'))
end

local SHARD = {''}  -- the owners of a state with one key a shard
local counts = tag .. ':counts'
local accepted, indexed
local ready, problem = pcall(function()
  -- The first write has to be one that takes memory: Redis refuses it when memory is full, and after the first write of
  -- a script it refuses none.
  at, doing = scratch, 'SET'
  redis.call('SET', scratch, '')
  doing = 'UNLINK'
  redis.call('UNLINK', scratch)
  for s = 1, #steps do
    local step = steps[s]
    local kind, state = step[1], step[2]
    prove(kind)
    if kind == 'counters' then
      at, doing = key_of(state, ''), 'HMGET'
      local names = lists[step[3]]
      local found = redis.call('HMGET', at, unpack(names))
      for i = 1, #names do
        if found[i] and not countable(found[i]) then error({err = 'holds a count that is no integer'}) end
      end
    elseif kind == 'marks' or kind == 'unmark' then
      check(s, kind, state, SHARD)
    elseif kind ~= 'drop' then
      check(s, kind, state, lists[step[3]])
    end
  end
  at, doing = tag .. ':users', 'SCARD'
  redis.call('SCARD', at)
  at, doing = tag .. ':indexed', 'GET'
  indexed = redis.call('GET', at) or (not fence and 'whole:0')
  at, doing = counts, 'HGET'
  accepted = redis.call('HGET', counts, 'accepted') or '0'
  at, doing = KEYS[2], 'SET'
  redis.call('SET', KEYS[2], KEYS[2])
  doing = ''
end)
if not ready then return {'unreadable', at, said(problem)} end

-- 2. The changes.

local write, byte, newcomers, leavers = {}, 1, {}, {}

local function value(length)
  byte = byte + length
  return string.sub(blob, byte - length, byte - 1)
end

-- {kind, state, owners, sizes, fields, lengths, whether to index}
function write.values(s, step)
  local owners, sizes, fields, lengths = lists[step[3]], lists[step[4]], lists[step[5]], lists[step[6]]
  local first = 1
  for o = 1, #owners do
    at = keys[s][o]
    local last = first + sizes[o] - 1
    if first == last then
      redis.call('HSET', at, fields[first], value(lengths[first]))
    else
      for from = first, last, SLICE do
        local args, n = {}, 0
        for i = from, math.min(from + SLICE - 1, last) do
          args[n + 1], args[n + 2] = fields[i], value(lengths[i])
          n = n + 2
        end
        redis.call('HSET', at, unpack(args))
      end
    end
    if step[7] and before[s][o] == 0 then newcomers[#newcomers + 1] = owners[o] end
    first = last + 1
  end
end

-- {kind, state, owners, sizes, fields}
function write.fields(s, step)
  local owners, sizes, fields = lists[step[3]], lists[step[4]], lists[step[5]]
  local first = 1
  for o = 1, #owners do
    at = keys[s][o]
    local last = first + sizes[o] - 1
    for from = first, last, SLICE do
      redis.call('HDEL', at, unpack(fields, from, math.min(from + SLICE - 1, last)))
    end
    first = last + 1
  end
end

-- {kind, state, owners, fields, values}; the same fields for each owner
function write.text(s, step)
  local owners, fields, values = lists[step[3]], step[4], lists[step[5]]
  local width = #fields
  for o = 1, #owners do
    at = keys[s][o]
    if width == 1 then
      redis.call('HSET', at, fields[1], values[o])
    else
      local args = {}
      for f = 1, width do
        args[2 * f - 1], args[2 * f] = fields[f], values[(o - 1) * width + f]
      end
      redis.call('HSET', at, unpack(args))
    end
  end
end

-- {kind, state, members}
function write.marks(s, step)
  local members, args = lists[step[3]], {}
  at = keys[s][1]
  for m = 1, #members do
    args[#args + 1], args[#args + 2] = ARGV[2], members[m]
    if #args >= SLICE or m == #members then
      redis.call('ZADD', at, unpack(args))
      args = {}
    end
  end
end

-- {kind, state, members}
function write.unmark(s, step)
  local members = lists[step[3]]
  at = keys[s][1]
  for from = 1, #members, SLICE do
    redis.call('ZREM', at, unpack(members, from, math.min(from + SLICE - 1, #members)))
  end
end

-- {kind, state, names, amounts}. The append-only file must hold the new count and not the amount: Redis (7.0.15) leaves
-- the first part of a transaction that a power cut tore in the file, and applies it at the next restart but one.
function write.counters(s, step)
  local names, amounts, args = lists[step[3]], lists[step[4]], {}
  at = key_of(step[2], '')
  local found = redis.call('HMGET', at, unpack(names))
  for i = 1, #names do
    args[2 * i - 1], args[2 * i] = names[i], string.format('%.0f', (tonumber(found[i]) or 0) + amounts[i])
  end
  redis.call('HSET', at, unpack(args))
end

-- {kind, state, owners, whether they leave the index}
function write.drop(s, step)
  for _, owner in ipairs(lists[step[3]]) do
    at = key_of(step[2], owner)
    redis.call('UNLINK', at)
    if step[4] then leavers[#leavers + 1] = owner end
  end
end

local applied, problem = pcall(function()
  for s = 1, #steps do write[steps[s][1]](s, steps[s]) end
  -- The index of learners. It is whole as long as every commit kept it, and a release that knows no index may commit in
  -- between: so it says up to which count of accepted events it was kept (`users.py` reads that and mends it).
  at = tag .. ':users'
  for from = 1, #leavers, SLICE do
    redis.call('SREM', at, unpack(leavers, from, math.min(from + SLICE - 1, #leavers)))
  end
  for from = 1, #newcomers, SLICE do
    redis.call('SADD', at, unpack(newcomers, from, math.min(from + SLICE - 1, #newcomers)))
  end
  at = tag .. ':indexed'
  local kept_by = indexed and string.match(indexed, '^(%w+:)' .. accepted .. '$')
  if kept_by then redis.call('SET', at, kept_by .. (redis.call('HGET', counts, 'accepted') or '0')) end
  at = KEYS[1]
  redis.call('SET', KEYS[1], ARGV[2])
  at = KEYS[2]
  redis.call('UNLINK', KEYS[2])
end)
if not applied then
  redis.pcall('SET', KEYS[2], at .. '\\n' .. said(problem))
  return {'damaged', at .. '\\n' .. said(problem)}
end
return 1
"""
)
