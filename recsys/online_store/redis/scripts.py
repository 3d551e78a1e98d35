"""The Lua scripts of the Redis adapter. Floats travel as little-endian doubles in one string, ids as fixed-size slices.

Each script touches keys of one hash tag only (`KEYS[1]` routes it on a cluster), so it is atomic there too. All but the
counters in `COMMIT` overwrites, so a script that fails half-way does no harm: the same chunk is applied again.
"""

READ_SHARD = """
local doc = cmsgpack.unpack(ARGV[1])
local tag, current, before, users, sizes, courses = doc[1], doc[2], doc[3], doc[4], doc[5], doc[6]
local trend = doc[7]
local blob, width, slice = ARGV[2], tonumber(ARGV[3]), 4000
local ids = {}
for i = 1, #blob, width do ids[#ids + 1] = string.sub(blob, i, i + width - 1) end
local seen = {}
for from = 1, #ids, slice do
  local to = math.min(from + slice - 1, #ids)
  local a = redis.call('SMISMEMBER', current, unpack(ids, from, to))
  local b = redis.call('SMISMEMBER', before, unpack(ids, from, to))
  for i = 1, #a do seen[#seen + 1] = (a[i] + b[i] > 0) and '1' or '0' end
end
local sums, bots, at, absent = {}, {}, 1, struct.pack('<d', 0)
local function get(key, names, first, last)
  for from = first, last, slice do
    local values = redis.call('HMGET', key, unpack(names, from, math.min(from + slice - 1, last)))
    for i = 1, #values do sums[#sums + 1] = values[i] or absent end
  end
end
for u = 1, #users do
  get(tag .. ':eng:' .. users[u], courses, at, at + sizes[u] - 1)
  at = at + sizes[u]
  bots[u] = redis.call('HGET', tag .. ':bot:' .. users[u], 'features') or ''
end
get(tag .. ':trend', trend, 1, #trend)
return {redis.call('GET', KEYS[1]), table.concat(seen), table.concat(sums), bots}
"""

COMMIT = """
local fence = redis.call('GET', KEYS[1])
if (fence or '') ~= ARGV[1] then return 0 end
local doc = cmsgpack.unpack(ARGV[3])
local tag, users, sizes, courses = doc[1], doc[2], doc[3], doc[4]
local done, bots, trend, counts = doc[5], doc[6], doc[7], doc[8]
local ids_key, stale_ids_key, ids_ttl, max_courses, trend_size = doc[9], doc[10], doc[11], doc[12], doc[13]
local floats, blob, width, slice = ARGV[4], ARGV[5], tonumber(ARGV[6]), 3000

local function put(key, names, first, last, byte, limit)
  local args = {}
  for i = first, last do
    local n = #args
    args[n + 1], args[n + 2] = names[i], string.sub(floats, byte, byte + 7)
    byte = byte + 8
    if n + 2 >= slice or i == last then redis.call('HSET', key, unpack(args)); args = {} end
  end
  local surplus = redis.call('HLEN', key) - limit
  if surplus > 0 then
    local all, kept = redis.call('HGETALL', key), {}
    for i = 1, #all, 2 do kept[#kept + 1] = {all[i], struct.unpack('<d', all[i + 1])} end
    table.sort(kept, function(a, b) if a[2] == b[2] then return a[1] < b[1] end return a[2] < b[2] end)
    for i = 1, surplus do redis.call('HDEL', key, kept[i][1]) end
  end
  return byte
end

local at, byte = 1, 1
for u = 1, #users do
  byte = put(tag .. ':eng:' .. users[u], courses, at, at + sizes[u] - 1, byte, max_courses)
  at = at + sizes[u]
end
local marks = {}
for u = 1, #users do
  marks[#marks + 1] = ARGV[2]
  marks[#marks + 1] = users[u]
  if #marks >= slice or u == #users then redis.call('ZADD', tag .. ':dirty', unpack(marks)); marks = {} end
end
for i = 1, #done do redis.call('SADD', tag .. ':done:' .. done[i][1], unpack(done[i], 2)) end
for i = 1, #bots do redis.call('HSET', tag .. ':bot:' .. bots[i][1], unpack(bots[i], 2)) end
local ids = {}
for i = 1, #blob, width do
  ids[#ids + 1] = string.sub(blob, i, i + width - 1)
  if #ids >= slice or i + width > #blob then redis.call('SADD', ids_key, unpack(ids)); ids = {} end
end
if #blob > 0 then redis.call('EXPIRE', ids_key, ids_ttl) end
redis.call('UNLINK', stale_ids_key)
byte = put(tag .. ':trend', trend, 1, #trend, byte, trend_size)
for i = 1, #counts, 2 do redis.call('HINCRBY', tag .. ':counts', counts[i], counts[i + 1]) end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""

WRITE_TOPS = """
-- KEYS: the shard's dirty marks, its copy of the model pointer. ARGV: the shard's tag, the lists' life in seconds,
-- whether a list is written only where its mark stands; then for each list its user id, mark, model version and bytes.
-- A list of another model than the published one is refused and its mark stays. Where the copy cannot be read (its next
-- synchronization mends it) nothing is written; where there is none, no model was published in this shard yet.
local tag, ttl, only_if_marked = ARGV[1], ARGV[2], ARGV[3] == '1'
local copy, published, written = redis.pcall('GET', KEYS[2]), nil, 0
if copy then
  local read, pointer = pcall(cjson.decode, copy)
  published = read and type(pointer) == 'table' and pointer.version or ''
end
for i = 4, #ARGV, 4 do
  local user, mark, version = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if not published or version == published then
    local stands = mark ~= '' and tonumber(redis.call('ZSCORE', KEYS[1], user) or '-1') == tonumber(mark)
    if stands or not only_if_marked then
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
