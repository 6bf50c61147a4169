-- Publish a stage's outcome and take the next step; nil when the claim is no longer held, else {1 when the next
-- stage lacks a wake-up, deliveries put in line, the name under which the result may be cached or ''}.
-- ARGV: now | stage | id | fence | next stage or terminal state | fields as JSON | error code | detail
--       | cache key ('' = none) | cache ttl s
local now, stage, id, target = clock(ARGV[1]), ARGV[2], ARGV[3], ARGV[5]
if not holds(id, stage, ARGV[4]) then
  total('fence_rejected:' .. stage)
  return nil
end
local fields = cjson.decode(ARGV[6])
fields['finished_' .. stage .. '_ms'] = now
write(rec(id), fields)

-- Seconds one job holds a slot of this stage, smoothed: what the ETA is made of.
local spent = now - tonumber(redis.call('HGET', rec(id), 'claimed_ms'))
local pace = tonumber(redis.call('HGET', 'hc:pace', stage) or spent)
redis.call('HSET', 'hc:pace', stage, pace + 0.1 * (spent - pace))

redis.call('HINCRBY', 'hc:done:' .. redis.call('HGET', rec(id), 'site'), stage, 1)

local MOST_ANSWERS = 64 -- of the same bytes: each age, sex and model makes another
local name = ''
if TERMINAL[target] then
  if ARGV[9] ~= '' then
    local site, content = unpack(get(id, 'site', 'content_digest'))
    local answers = 'hc:cached_names:' .. site .. ':' .. content
    if redis.call('HLEN', answers) < MOST_ANSWERS then
      redis.call('HSETNX', answers, ARGV[9], ARGV[9] .. ':' .. id .. ':' .. ARGV[4])
    end
    redis.call('EXPIRE', answers, ARGV[10])
    name = redis.call('HGET', answers, ARGV[9]) or ''
  end
  finish(id, target, now, ARGV[7], ARGV[8])
else
  redis.call('ZREM', 'hc:lease:' .. stage, id)
  redis.call('HSET', rec(id), 'attempt', 0, 'unheard', 0)
  enqueue(target, id, now, 0)
end
return {STAGES[target] and lacking(target) or 0, announced, name}
