-- One request of a site under its sustained rate (generic cell rate algorithm).
-- KEYS: the site's clock | ARGV: requests per second | requests that may come at once
-- Answer: {1 or 0 = refused, requests left, ms until the next one (refused) or until all are back (taken)}
local t = redis.call('TIME')
local now = t[1] * 1000 + t[2] / 1000
local step = 1000 / tonumber(ARGV[1])
local room = step * tonumber(ARGV[2])
local clock = math.max(now, tonumber(redis.call('GET', KEYS[1]) or '0'))
local after = clock + step
if after - now > room + 0.001 then return {0, 0, math.ceil(after - now - room)} end
redis.call('SET', KEYS[1], string.format('%.3f', after), 'PX', math.ceil(after - now) + 1)
return {1, math.floor((room - (after - now)) / step + 0.001), math.ceil(after - now)}
