-- Take instances of a study into the inbox. Returns {'ok', how many are new}, or why none is: 'withdrawn', 'person',
-- 'full:bytes', 'full:instances', 'full:studies'.
-- ARGV: now | study | fields as JSON: site, uid, collection, person, keep, age, sex, trace | instances as JSON: {id, series, size, text} each
--       | series as JSON: series -> text | chunk ('' = none) | limits as JSON: bytes, instances, studies | quiet ms
local now, study, about, found = clock(ARGV[1]), ARGV[2], cjson.decode(ARGV[3]), cjson.decode(ARGV[4])
local chunk, limits, quiet, site = ARGV[6], cjson.decode(ARGV[7]), tonumber(ARGV[8]), about.site
local key, there = inbox('study', study), redis.call('EXISTS', inbox('study', study)) == 1
if chunk ~= '' and is_withdrawn(chunk) then return {'withdrawn', 0} end

local fresh, bytes = {}, 0
for _, one in ipairs(found) do
  if redis.call('HEXISTS', inbox('instances', study), one[1]) == 0 then
    fresh[#fresh + 1] = one
    bytes = bytes + one[3]
  end
end
if #fresh == 0 then
  total('repeated') -- a write: WAIT on this connection then covers what came before
  return {'ok', 0}
end

-- Images of two people under one study: nobody knows whose the answer would be.
local person = redis.call('HGET', key, 'person')
if person and about.person ~= '' and person ~= about.person then
  redis.call('HSET', key, 'mixed', 1, 'last_ms', now)
  redis.call('HINCRBY', key, 'version', 1)
  local leased = tonumber(redis.call('HGET', key, 'lease_ms') or '0')
  redis.call('ZADD', 'hc:inbox:due', math.max(now + quiet, leased), study)
  return {'person', 0}
end

local open = redis.call('ZCARD', inbox('studies', site))
local held, count = unpack(redis.call('HMGET', inbox('held', site), 'bytes', 'instances'))
if not there and open >= limits.studies then return {'full:studies', 0} end
if tonumber(held or '0') + bytes > limits.bytes then return {'full:bytes', 0} end
if tonumber(count or '0') + #fresh > limits.instances then return {'full:instances', 0} end

if not there then
  redis.call('HSET', key, 'site', site, 'uid', about.uid, 'collection', about.collection, 'opened_ms', now)
  redis.call('SADD', 'hc:sites', site)
end
for _, field in ipairs({'person', 'keep', 'age', 'sex'}) do
  if about[field] ~= '' then redis.call('HSETNX', key, field, about[field]) end
end
for name, text in pairs(cjson.decode(ARGV[5])) do redis.call('HSETNX', inbox('series', study), name, text) end
for _, one in ipairs(fresh) do
  redis.call('HSET', inbox('instances', study), one[1], one[4])
  redis.call('HINCRBY', inbox('series', study), '#' .. one[2], 1)
end
if chunk ~= '' then
  redis.call('SADD', inbox('chunks', study), chunk)
  redis.call('SADD', 'hc:uploads_in_use', chunk)
end
redis.call('HSET', key, 'last_ms', now, 'trace', about.trace)
redis.call('HINCRBY', key, 'version', 1)
redis.call('HINCRBY', key, 'bytes', bytes)
redis.call('HINCRBY', key, 'instances', #fresh)
redis.call('HINCRBY', inbox('held', site), 'bytes', bytes)
redis.call('HINCRBY', inbox('held', site), 'instances', #fresh)
redis.call('ZADD', inbox('studies', site), now, study)
local leased = tonumber(redis.call('HGET', key, 'lease_ms') or '0')
redis.call('ZADD', 'hc:inbox:due', math.max(now + quiet, leased), study)
total('inbox_instances')
return {'ok', #fresh}
