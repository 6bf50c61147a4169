-- Push the end of a lease out, and note the step the work is at; 0 when the claim is no longer held.
-- ARGV: now | stage | id | fence | lease ms | step ('' = leave as it is)
local now, stage, id = clock(ARGV[1]), ARGV[2], ARGV[3]
if not holds(id, stage, ARGV[4]) then return 0 end
redis.call('ZADD', 'hc:lease:' .. stage, now + tonumber(ARGV[5]), id)
redis.call('HSET', rec(id), 'heard', ARGV[4]) -- its worker has it: from here on a death counts
if ARGV[6] ~= '' then redis.call('HSET', rec(id), 'step', ARGV[6]) end
return 1
