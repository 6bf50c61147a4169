-- Settle a submit whose answer was lost: show the record of this id, or make sure that none will name this upload.
-- ARGV: now | id | upload
local id, input = ARGV[2], ARGV[3]
if get(id, 'input_blob')[1] ~= input then withdraw(input) end
total('settled') -- a write: WAIT on this connection then covers the record that it shows
return redis.call('HGETALL', rec(id))
