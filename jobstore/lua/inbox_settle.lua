-- Write fields of a study that this process holds; 0 when it does not hold it any more.
-- ARGV: now | study | fence | fields as JSON | names of fields to delete as JSON | when to look again (ms), or
--       '' = the lease goes on for so many ms more: | lease ms | version that was looked at | quiet ms
local now, study, again = clock(ARGV[1]), ARGV[2], ARGV[6]
local key = inbox('study', study)
if redis.call('HGET', key, 'fence') ~= ARGV[3] then return 0 end
write(key, cjson.decode(ARGV[4]))
for _, name in ipairs(cjson.decode(ARGV[5])) do redis.call('HDEL', key, name) end
if again == '' then
  redis.call('HSET', key, 'lease_ms', now + tonumber(ARGV[7]))
  redis.call('ZADD', 'hc:inbox:due', now + tonumber(ARGV[7]), study)
  return 1
end
local version, last, closing = unpack(redis.call('HMGET', key, 'version', 'last_ms', 'closing'))
again = tonumber(again)
if version ~= ARGV[8] then again = math.min(again, math.max(now, tonumber(last) + tonumber(ARGV[9]))) end
if closing then again = now end
redis.call('HDEL', key, 'lease_ms')
redis.call('ZADD', 'hc:inbox:due', again, study)
return 1
