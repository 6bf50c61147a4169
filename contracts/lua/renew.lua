-- Push the end of a lease out; 0 when the claim is no longer held.
-- ARGV: now | stage | id | fence | lease ms
local now, stage, id = clock(ARGV[1]), ARGV[2], ARGV[3]
if not holds(id, stage, ARGV[4]) then
  total('fence_rejected:' .. stage)
  return 0
end
redis.call('ZADD', 'hc:lease:' .. stage, now + tonumber(ARGV[5]), id)
return 1
