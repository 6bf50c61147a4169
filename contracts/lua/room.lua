-- Why submit.lua would not take a record now, '' when it would; changes nothing.
-- ARGV: now | record as JSON | limit of waiting jobs
local record = cjson.decode(ARGV[2])
if redis.call('EXISTS', rec(record.id)) == 1 then return '' end
if strange_batch(record) then return 'no_batch' end
return crowded(record, tonumber(ARGV[3])) or ''
