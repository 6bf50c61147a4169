-- What the ETA is made of: {ids that start before this one if nothing else arrives, -1 when it does not wait;
-- ids that run at its stage; pace of its stage; pace of inference}
-- ARGV: id
local id = ARGV[1]
local state, stage, site = unpack(get(id, 'state', 'stage', 'site'))
if not state then return {-1, 0, false, false} end
local own_pace, infer_pace = unpack(redis.call('HMGET', 'hc:pace', stage, 'infer'))
local function answer(ahead) return {ahead, redis.call('ZCARD', 'hc:lease:' .. stage), own_pace, infer_pace} end
if STAGES[stage].waiting ~= state then return answer(-1) end
local own = redis.call('ZRANK', 'hc:wait:' .. stage .. ':' .. site, id)
if not own then return answer(redis.call('HGET', 'hc:depth', stage) - 1) end -- waits for its not-before time
local ahead = own
for _, other in ipairs(redis.call('ZRANGE', 'hc:turn:' .. stage, 0, -1)) do
  if other ~= site then
    ahead = ahead + math.min(own + 1, redis.call('ZCARD', 'hc:wait:' .. stage .. ':' .. other))
  end
end
return answer(ahead)
