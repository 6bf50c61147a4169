-- Give one gateway process the next study that is due, for as long as the lease; {} when none is.
-- ARGV: now | lease ms.  Returns {study, fence}
local now, lease = clock(ARGV[1]), tonumber(ARGV[2])
for _, study in ipairs(redis.call('ZRANGEBYSCORE', 'hc:inbox:due', '-inf', now, 'LIMIT', 0, 10)) do
  if redis.call('EXISTS', inbox('study', study)) == 1 then
    redis.call('ZADD', 'hc:inbox:due', now + lease, study)
    local fence = redis.call('INCR', 'hc:inbox:fences') -- none comes back, also when a study is collected anew
    redis.call('HSET', inbox('study', study), 'lease_ms', now + lease, 'fence', fence)
    return {study, fence}
  end
  redis.call('ZREM', 'hc:inbox:due', study)
end
return {}
