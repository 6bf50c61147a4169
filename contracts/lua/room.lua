-- Why submit.lua would not take a record for being one too many, '' when it would; changes nothing.
-- ARGV: now | record as JSON | limit of waiting jobs
local record = cjson.decode(ARGV[2])
if redis.call('EXISTS', rec(record.id)) == 1 then return '' end
return crowded(record, tonumber(ARGV[3])) or ''
