-- The sender says that a study is whole: it is looked at now; 0 when nothing of it is collected.
-- ARGV: now | study
local now, study = clock(ARGV[1]), ARGV[2]
local key = inbox('study', study)
if redis.call('EXISTS', key) == 0 then return 0 end
redis.call('HSET', key, 'closing', 1)
redis.call('ZADD', 'hc:inbox:due', math.max(now, tonumber(redis.call('HGET', key, 'lease_ms') or '0')), study)
return 1
