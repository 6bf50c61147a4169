-- Hand a claim back for another try, not before a time; 0 when it is no longer held.
-- ARGV: now | stage | id | fence | delay ms | '1' = the attempt does not count | note
--       | fields as JSON
local now, stage, id = clock(ARGV[1]), ARGV[2], ARGV[3]
if not holds(id, stage, ARGV[4]) then
  total('fence_rejected:' .. stage)
  return 0
end
redis.call('ZREM', 'hc:lease:' .. stage, id)
redis.call('HINCRBY', rec(id), 'fence', 1)
if ARGV[6] == '1' then redis.call('HINCRBY', rec(id), 'attempt', -1) end
redis.call('HSET', rec(id), 'last_error', ARGV[7])
for field, value in pairs(cjson.decode(ARGV[8])) do redis.call('HSET', rec(id), field, value) end
total('released:' .. stage)
enqueue(stage, id, now, now + tonumber(ARGV[5]))
return 1
