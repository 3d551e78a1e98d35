"""The Lua scripts of lists, guards and control (`commit_script.py` and `read_script.py` have the shard's).

Each touches keys of one hash tag only (`KEYS[1]` routes it on a cluster), so it is atomic there too, and overwrites, so
that one that fails half-way does no harm when it is run again.
"""

WRITE_TOPS = """
-- KEYS: the shard's dirty marks, its copy of the model pointer. ARGV: the shard's tag, the lists' life in seconds,
-- whether a list is written only where its mark stands; then for each list its user id, mark, model version and bytes.
-- A list of another model than the published one is refused and its mark stays. One that was computed for a mark is
-- refused where none is left: somebody else has written a list since, from state that is no older. Where the copy
-- cannot be read (its next synchronization mends it) nothing is written; where there is none, no model was published in
-- this shard yet.
local tag, ttl, only_if_marked = ARGV[1], ARGV[2], ARGV[3] == '1'
local copy, published, written = redis.pcall('GET', KEYS[2]), nil, 0
if copy then
  local read, pointer = pcall(cjson.decode, copy)
  published = read and type(pointer) == 'table' and pointer.version or ''
end
for i = 4, #ARGV, 4 do
  local user, mark, version = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if not published or version == published then
    local marked = mark ~= '' and redis.call('ZSCORE', KEYS[1], user)
    local stands = marked and tonumber(marked) == tonumber(mark)
    if stands or mark == '' or (marked and not only_if_marked) then
      redis.call('SET', tag .. ':top:' .. user, ARGV[i + 3], 'EX', ttl)
      written = written + 1
    end
    if stands then redis.call('ZREM', KEYS[1], user) end
  end
end
return written
"""

BEGIN = """
local fence = redis.call('GET', KEYS[1])
if redis.call('HGET', KEYS[2], 'fence') == (fence or '') then
  redis.call('HINCRBY', KEYS[2], 'starts', 1)
else
  redis.call('HSET', KEYS[2], 'fence', fence or '', 'starts', 1)
end
return {fence, redis.call('HGETALL', KEYS[2])}
"""

COUNT_ATTEMPT = """
-- The field of the announced offset is called 'suspect', as earlier releases write and read it.
if redis.call('HGET', KEYS[1], 'suspect') == ARGV[1] then return redis.call('HINCRBY', KEYS[1], 'tries', 1) end
redis.call('HSET', KEYS[1], 'suspect', ARGV[1], 'tries', 1)
return 1
"""

REPLACE = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""

HOLD = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""

RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""
