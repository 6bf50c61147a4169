-- Give out up to `limit` waiting ids, fair over sites, then by priority, then by age; nothing to the drained.
-- Returns the claims, and what became of records that had no attempt left.
-- ARGV: now | stage | limit | lease ms | most attempts | worker
local now, stage, limit = clock(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local lease, most, worker = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
local turn, claimed, ended = 'hc:turn:' .. stage, {}, {}

local host = string.match(worker, '^[^/]*')
local off = redis.call('HMGET', 'hc:drained', 'stage:' .. stage, 'host:' .. host)
if off[1] or off[2] then return {claimed, ended} end

local function promote()
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', 'hc:later:' .. stage, '-inf', now, 'LIMIT', 0, 100)) do
    redis.call('ZREM', 'hc:later:' .. stage, id)
    push(stage, id)
  end
end

-- Pop the first id of the site whose turn it is and charge the site one unit over its weight.
local function pop()
  local head = redis.call('ZRANGE', turn, 0, 0, 'WITHSCORES')
  if not head[1] then return nil end
  local site, at = head[1], tonumber(head[2])
  local wait = 'hc:wait:' .. stage .. ':' .. site
  local id = redis.call('ZPOPMIN', wait)[1]
  local weight = tonumber(redis.call('HGET', 'hc:site:' .. site, 'weight') or '1')
  redis.call('SET', 'hc:vtime:' .. stage, at)
  redis.call('HINCRBY', 'hc:depth', stage, -1)
  redis.call('HSET', 'hc:owed:' .. stage, site, at + 1 / weight)
  if redis.call('EXISTS', wait) == 1 then
    redis.call('ZADD', turn, at + 1 / weight, site)
  else
    redis.call('ZREM', turn, site)
  end
  return id
end

promote()
while #claimed < limit do
  local id = pop()
  if not id then break end
  if tonumber(redis.call('HGET', rec(id), 'attempt')) >= most then
    total('poison:' .. stage)
    finish(id, 'failed', now, 'poison', 'The job did not survive ' .. most .. ' attempts at ' .. stage)
    ended[#ended + 1] = told('job.poisoned', id)
  else
    redis.call('HINCRBY', rec(id), 'attempt', 1)
    local fence = redis.call('HINCRBY', rec(id), 'fence', 1)
    redis.call('HSET', rec(id), 'worker', worker, 'claimed_ms', now)
    local first = redis.call('HSETNX', rec(id), 'started_' .. stage .. '_ms', now)
    if first == 0 then total('redelivered:' .. stage) end
    redis.call('ZADD', 'hc:lease:' .. stage, now + lease, id)
    enter(id, STAGES[stage].running, now)
    total('claimed:' .. stage)
    claimed[#claimed + 1] = {id, fence, redis.call('HGETALL', rec(id))}
  end
end
if #claimed > 0 then total('batches:' .. stage) end
return {claimed, ended}
