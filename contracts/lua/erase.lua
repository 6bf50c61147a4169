-- Forget a job of a site: record, deliveries, its batch when it was the last in it, and what no other job of
-- the site shares with it; nil = no such job, else how many cached results are to go from the cache's server.
-- ARGV: now | id | site | '1' = leave a tombstone | ms until a second sweep | folders of the content as JSON
local now, id, site, folders = clock(ARGV[1]), ARGV[2], ARGV[3], cjson.decode(ARGV[6])
local kind, owner, state, digest, batch = unpack(get(id, 'kind', 'site', 'state', 'content_digest', 'batch'))
if kind ~= 'job' or owner ~= site then return nil end
local content = 'hc:content:' .. site .. ':' .. digest

if not TERMINAL[state] then
  finish(id, 'canceled', now, '', '')
  state = 'canceled'
end
if redis.call('ZREM', 'hc:quarantine', id) == 1 then discard(redis.call('HGET', rec(id), 'input_blob')) end
for _, delivery in ipairs(redis.call('SMEMBERS', 'hc:deliveries_of:' .. id)) do
  if redis.call('EXISTS', rec(delivery)) == 1 then detach(delivery) end
  redis.call('DEL', rec(delivery))
  redis.call('ZREM', 'hc:deliveries:' .. site, delivery)
end

local names = {}
redis.call('SREM', content, id)
if redis.call('EXISTS', content) == 0 then
  local answers = 'hc:answers:' .. site .. ':' .. digest
  names = redis.call('HVALS', answers)
  for _, name in ipairs(names) do redis.call('RPUSH', 'hc:stale', name) end
  redis.call('DEL', answers)
  redis.call('RPUSH', 'hc:garbage', unpack(folders))
  redis.call('ZADD', 'hc:sweep', now + ARGV[5], cjson.encode({content = content, folders = folders, names = names}))
end

redis.call('HINCRBY', 'hc:count:' .. site, state, -1)
redis.call('ZREM', 'hc:jobs:' .. site, id)
if batch then
  redis.call('HINCRBY', 'hc:count_of:' .. batch, state, -1)
  redis.call('ZREM', 'hc:jobs_of:' .. batch, id)
  if redis.call('EXISTS', 'hc:jobs_of:' .. batch) == 0 then
    redis.call('DEL', 'hc:batch:' .. batch, 'hc:count_of:' .. batch)
  end
end
redis.call('DEL', rec(id), 'hc:deliveries_of:' .. id)
if ARGV[4] == '1' then
  redis.call('HSET', rec(id), 'id', id, 'kind', 'tombstone', 'site', site, 'erased_ms', now)
end
total('erased')
return #names
