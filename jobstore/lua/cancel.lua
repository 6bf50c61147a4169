-- End a job that its owner no longer wants; returns the state it is in afterwards.
-- ARGV: now | id
local now, id = clock(ARGV[1]), ARGV[2]
local state = redis.call('HGET', rec(id), 'state')
if not state then return nil end
if TERMINAL[state] then return state end
finish(id, 'canceled', now, '', '')
return 'canceled'
