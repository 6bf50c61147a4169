-- Why submit.lua would not take a record now, '' when it would; changes nothing.
-- ARGV: now | record as JSON | limit of waiting jobs
local record = cjson.decode(ARGV[2])
if redis.call('EXISTS', rec(record.id)) == 1 then return '' end
if strange_batch(record) then return 'no_batch' end

-- Reading uploads has cost the site so many CPU seconds that it has to wait: READ_AT_ONCE seconds may be ahead of time.
local READ_AT_ONCE = 60
local function unpaid(site)
  local rate = tonumber(redis.call('HGET', 'hc:site:' .. site, 'reading_cpu') or '0')
  if rate <= 0 then return nil end
  local ahead = tonumber(redis.call('GET', 'hc:reading:' .. site) or '0') - clock(ARGV[1])
  return ahead > READ_AT_ONCE * 1000 / rate and 'quota:reading' or nil
end

return crowded(record, tonumber(ARGV[3])) or overfull(record.site) or unpaid(record.site) or ''
