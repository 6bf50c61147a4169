-- Give out up to `limit` waiting ids, fair over sites, then by priority, then by age; nothing to the drained.
-- A record that was tried before is given out alone: what its last worker died of may lie in it.
-- Returns the claims, and what became of records that had no attempt left.
-- ARGV: now | stage | limit | lease ms | most attempts | worker | name of this question
local now, stage, limit = clock(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local lease, most, worker = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
local turn, claimed, ended, answer = 'hc:turn:' .. stage, {}, {}, 'hc:claims:' .. ARGV[7]

local function give(id, fence)
  redis.call('ZADD', 'hc:lease:' .. stage, now + lease, id)
  claimed[#claimed + 1] = {id, tonumber(fence), redis.call('HGETALL', rec(id))}
end

-- The same question again: its answer was lost on the way, so it is given once more.
for _, given in ipairs(redis.call('LRANGE', answer, 0, -1)) do
  local id, fence = string.match(given, '^(%S+) (%d+)$')
  if holds(id, stage, fence) then give(id, fence) end
end
if #claimed > 0 then
  redis.call('PEXPIRE', answer, lease)
  return {claimed, ended}
end

local host = string.match(worker, '^[^/]*')
local off = redis.call('HMGET', 'hc:drained', 'stage:' .. stage, 'host:' .. host)
if off[1] or off[2] then return {claimed, ended} end

local function promote()
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', 'hc:later:' .. stage, '-inf', now, 'LIMIT', 0, 100)) do
    redis.call('ZREM', 'hc:later:' .. stage, id)
    push(stage, id)
  end
end

-- The first id of the site whose turn it is, the site, and the virtual time of its turn.
local function peek()
  local head = redis.call('ZRANGE', turn, 0, 0, 'WITHSCORES')
  if not head[1] then return nil end
  return redis.call('ZRANGE', 'hc:wait:' .. stage .. ':' .. head[1], 0, 0)[1], head[1], tonumber(head[2])
end

-- Take that id and charge the site one unit over its weight.
local function pop(id, site, at)
  local left = unqueue(stage, site, id)
  local weight = tonumber(redis.call('HGET', 'hc:site:' .. site, 'weight') or '1')
  redis.call('SET', 'hc:vtime:' .. stage, at)
  redis.call('HSET', 'hc:owed:' .. stage, site, at + 1 / weight)
  if left > 0 then redis.call('ZADD', turn, at + 1 / weight, site) end
end

promote()
while #claimed < limit do
  local id, site, at = peek()
  if not id then break end
  local tried = tonumber(redis.call('HGET', rec(id), 'attempt'))
  if tried > 0 and #claimed > 0 then break end
  pop(id, site, at)
  if tried >= most then
    total('poison:' .. stage)
    finish(id, 'failed', now, 'job.dead_lettered', 'The job did not survive ' .. most .. ' attempts at ' .. stage)
    ended[#ended + 1] = told('job.poisoned', id)
  else
    redis.call('HINCRBY', rec(id), 'attempt', 1)
    local fence = redis.call('HINCRBY', rec(id), 'fence', 1)
    redis.call('HSET', rec(id), 'worker', worker, 'claimed_ms', now)
    local first = redis.call('HSETNX', rec(id), 'started_' .. stage .. '_ms', now)
    if first == 0 then total('redelivered:' .. stage) end
    enter(id, STAGES[stage].running, now)
    total('claimed:' .. stage)
    redis.call('RPUSH', answer, id .. ' ' .. fence)
    give(id, fence)
    if tried > 0 then break end
  end
end
if #claimed > 0 then
  redis.call('PEXPIRE', answer, lease)
  total('batches:' .. stage)
end
return {claimed, ended}
