-- How many ids start before this one, if nothing else arrives; -1 when it does not wait.
-- ARGV: id
local id = ARGV[1]
local state, stage, site = unpack(get(id, 'state', 'stage', 'site'))
if not state or STAGES[stage].waiting ~= state then return -1 end
local own = redis.call('ZRANK', 'hc:wait:' .. stage .. ':' .. site, id)
if not own then return redis.call('HGET', 'hc:depth', stage) - 1 end -- waits for its not-before time
local ahead = own
for _, other in ipairs(redis.call('ZRANGE', 'hc:turn:' .. stage, 0, -1)) do
  if other ~= site then
    ahead = ahead + math.min(own + 1, redis.call('ZCARD', 'hc:wait:' .. stage .. ':' .. other))
  end
end
return ahead
