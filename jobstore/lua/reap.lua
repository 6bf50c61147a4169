-- Mend what dead workers and late jobs left: expired leases go back in the queue, jobs past their deadline end, and
-- uploads leave quarantine. Returns counts, and what became of each record.
-- ARGV: now | most attempts at preprocess | at infer | at deliver
local now = clock(ARGV[1])
local most = {preprocess = tonumber(ARGV[2]), infer = tonumber(ARGV[3]), deliver = tonumber(ARGV[4])}
local MOST_UNHEARD = 5
local requeued, poisoned, expired, events = 0, 0, 0, {}

-- A claim that nobody ever renewed most likely never reached its worker: it gives the attempt back, a few times.
local function forgive(id)
  local fence, heard, unheard = unpack(get(id, 'fence', 'heard', 'unheard'))
  if heard == fence or tonumber(unheard or '0') >= MOST_UNHEARD then return end
  redis.call('HINCRBY', rec(id), 'unheard', 1)
  redis.call('HINCRBY', rec(id), 'attempt', -1)
end

for stage, _ in pairs(STAGES) do
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', 'hc:lease:' .. stage, '-inf', now, 'LIMIT', 0, 200)) do
    redis.call('ZREM', 'hc:lease:' .. stage, id)
    total('lease_expired:' .. stage)
    events[#events + 1] = told('lease.expired', id)
    forgive(id)
    if tonumber(redis.call('HGET', rec(id), 'attempt')) >= most[stage] then
      poisoned = poisoned + 1
      total('poison:' .. stage)
      finish(id, 'failed', now, 'job.dead_lettered', 'The job did not survive ' .. most[stage] .. ' attempts at ' .. stage)
      events[#events + 1] = told('job.poisoned', id)
    else
      requeued = requeued + 1
      redis.call('HINCRBY', rec(id), 'fence', 1)
      enqueue(stage, id, now, 0)
    end
  end
end

for _, id in ipairs(redis.call('ZRANGEBYSCORE', 'hc:deadlines', '-inf', now, 'LIMIT', 0, 200)) do
  expired = expired + 1
  finish(id, 'expired', now, 'deadline.expired', 'The job was not finished before its deadline')
  events[#events + 1] = told('job.expired', id)
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', 'hc:quarantine', '-inf', now, 'LIMIT', 0, 200)) do
  redis.call('ZREM', 'hc:quarantine', id)
  local input = redis.call('HGET', rec(id), 'input_blob')
  if input then discard(input) end
  events[#events + 1] = told('quarantine.ended', id)
end
-- A worker that ran while its job was erased may have stored something afterwards, where nobody looks any more.
for _, entry in ipairs(redis.call('ZRANGEBYSCORE', 'hc:sweep', '-inf', now, 'LIMIT', 0, 200)) do
  redis.call('ZREM', 'hc:sweep', entry)
  local erased = cjson.decode(entry)
  for _, name in ipairs(erased.names or {}) do redis.call('RPUSH', 'hc:stale_results', name) end
  redis.call('RPUSH', 'hc:pending_deletions', unpack(erased.folders))
end
return {requeued, poisoned, expired, events}
