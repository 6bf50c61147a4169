-- Forget a job of a site: record, deliveries, its batch when it was the last in it, and what no other job of
-- the site shares with it. The folders of these bytes are never used again: who sends them anew gets others.
-- nil = no such job; of one that was erased before, nothing is left to do: a call whose answer was lost is repeated;
-- else whether the folders are to go, and how many results from the cache's server.
-- ARGV: now | id | site | '1' = leave a tombstone | ms until each later sweep as JSON | folders as JSON
local now, id, site, folders = clock(ARGV[1]), ARGV[2], ARGV[3], cjson.decode(ARGV[6])
local kind, owner, state, digest, batch = unpack(get(id, 'kind', 'site', 'state', 'content_digest', 'batch'))
if kind == 'tombstone' and owner == site and ARGV[4] == '1' then
  total('repeated') -- a write: WAIT on this connection then covers the tombstone
  return {0, 0}
end
if kind ~= 'job' or owner ~= site then return nil end
local content = 'hc:content:' .. site .. ':' .. digest

if not TERMINAL[state] then
  finish(id, 'canceled', now, '', '')
  state = 'canceled'
end
if redis.call('ZREM', 'hc:quarantine', id) == 1 then discard(redis.call('HGET', rec(id), 'input_blob')) end
for _, delivery in ipairs(redis.call('SMEMBERS', 'hc:deliveries_of:' .. id)) do
  local owed = redis.call('HGET', rec(delivery), 'state')
  if owed then detach(delivery) end
  if owed and not TERMINAL[owed] then owe(site, -1) end
  redis.call('DEL', rec(delivery))
  redis.call('ZREM', 'hc:deliveries:' .. site, delivery)
end

local names, last = {}, 0
redis.call('SREM', content, id)
if redis.call('EXISTS', content) == 0 then
  last = 1
  local answers = 'hc:cached_names:' .. site .. ':' .. digest
  names = redis.call('HVALS', answers)
  for _, name in ipairs(names) do redis.call('RPUSH', 'hc:stale_results', name) end
  redis.call('DEL', answers)
  redis.call('RPUSH', 'hc:pending_deletions', unpack(folders))
  for _, later in ipairs(cjson.decode(ARGV[5])) do
    redis.call('ZADD', 'hc:sweep', now + later, cjson.encode({at = later, folders = folders, names = names}))
  end
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
local study = redis.call('HGET', rec(id), 'inbox')
if study then
  redis.call('ZREM', inbox('jobs', study), id)
  if redis.call('HGET', inbox('study', study), 'job') == id then forget_study(study) end
end
redis.call('DEL', rec(id), 'hc:deliveries_of:' .. id)
if ARGV[4] == '1' then
  redis.call('HSET', rec(id), 'id', id, 'kind', 'tombstone', 'site', site, 'erased_ms', now)
end
total('erased')
return {last, #names}
