-- Queue a finished webhook delivery once more, with a full set of attempts; 0 when there is nothing to replay.
-- ARGV: now | id
local now, id = clock(ARGV[1]), ARGV[2]
local kind, state = unpack(get(id, 'kind', 'state'))
if kind ~= 'delivery' or not TERMINAL[state] then return 0 end
redis.call('HSET', rec(id), 'attempt', 0, 'unheard', 0)
redis.call('HDEL', rec(id), 'error_code', 'error_detail', 'finished_ms')
enqueue('deliver', id, now, 0)
return 1
