-- Charge a site for reading one of its uploads; room.lua refuses the next ones when too much is ahead of time.
-- KEYS: the time until which the site has paid | its settings   ARGV: CPU seconds
local rate = tonumber(redis.call('HGET', KEYS[2], 'reading_cpu') or '0')
if rate <= 0 then return end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local paid = math.max(now, tonumber(redis.call('GET', KEYS[1]) or '0')) + ARGV[1] * 1000 / rate
redis.call('SET', KEYS[1], string.format('%.0f', paid), 'PX', math.ceil(paid - now) + 1)
