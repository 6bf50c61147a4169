-- A record, and what its ETA is made of: {all its fields; ids that start before this one if nothing else arrives,
-- -1 when it does not wait; ids that run at its stage; pace of its stage; pace of inference}
-- ARGV: id
local id = ARGV[1]
local fields = redis.call('HGETALL', rec(id))
local state, stage, site = unpack(get(id, 'state', 'stage', 'site'))
if not state or TERMINAL[state] then return {fields, -1, 0, false, false} end
local own_pace, infer_pace = unpack(redis.call('HMGET', 'hc:pace', stage, 'infer'))
local function answer(ahead)
  return {fields, ahead, redis.call('ZCARD', 'hc:lease:' .. stage), own_pace, infer_pace}
end
if STAGES[stage].waiting ~= state then return answer(-1) end
local own = redis.call('ZRANK', 'hc:wait:' .. stage .. ':' .. site, id)
if not own then return answer(redis.call('HGET', 'hc:depth', stage) - 1) end -- waits for its not-before time

-- Every site gets a turn before this site's next, so of each that many go first, or as many as it has:
-- min(own + 1, its ids), which summed over sites is the number of sites with n or more ids, summed up to own + 1.
local blocks, wanted = math.floor((own + 1) / BLOCK), {}
for k = 0, blocks - 1 do wanted[#wanted + 1] = 'b' .. k end
for n = blocks * BLOCK + 1, own + 1 do wanted[#wanted + 1] = n end
local ahead = -1 -- without this one
for start = 1, #wanted, 4000 do
  local part = redis.call('HMGET', 'hc:longer:' .. stage, unpack(wanted, start, math.min(start + 3999, #wanted)))
  for _, sites in ipairs(part) do ahead = ahead + tonumber(sites or 0) end
end
return answer(ahead)
