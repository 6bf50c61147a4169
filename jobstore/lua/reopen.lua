-- Put a job that ended without a result back in the queue, with all its attempts and no deadline; returns the stage it
-- waits for, 'gone' when nothing is left to work on, 'none' when there is no such job, or the state it is in.
-- ARGV: now | id
local now, id = clock(ARGV[1]), ARGV[2]
local kind, state, input, stack = unpack(get(id, 'kind', 'state', 'input_blob', 'stack_blob'))
if kind ~= 'job' then return 'none' end
if state ~= 'failed' and state ~= 'expired' then return state end
local kept = input and redis.call('SISMEMBER', 'hc:uploads_in_use', input) == 1
if not kept and not stack then return 'gone' end

local stage = stack and 'infer' or 'preprocess'
redis.call('ZREM', 'hc:quarantine', id)
redis.call('HDEL', rec(id), 'error_code', 'error_detail', 'error_figures', 'last_error', 'finished_ms', 'deadline_ms',
  'not_before_ms', 'step', 'sent_back')
redis.call('HSET', rec(id), 'attempt', 0, 'unheard', 0)
redis.call('HINCRBY', rec(id), 'round', 1)
redis.call('HINCRBY', rec(id), 'fence', 1)
total('reopened')
enqueue(stage, id, now, 0)
return stage
