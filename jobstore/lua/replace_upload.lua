-- Give a job that still waits another upload of the same bytes, because its own is gone; 1 when the job names it.
-- ARGV: now | id | upload that is gone | new upload | its digest, '' = that of the content | its bytes
local id, gone, fresh, digest, size = ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local state, input, site, was, sent = unpack(get(id, 'state', 'input_blob', 'site', 'stored_bytes', 'size_bytes'))
if input == fresh then return 1 end
if state ~= 'queued' or input ~= gone or is_withdrawn(fresh) then return 0 end
redis.call('HSET', rec(id), 'input_blob', fresh, 'stored_bytes', size)
redis.call('HDEL', rec(id), 'input_digest')
if digest ~= '' then redis.call('HSET', rec(id), 'input_digest', digest) end
redis.call('INCRBY', 'hc:bytes:' .. site, size - tonumber(was or sent or '0'))
redis.call('SREM', 'hc:uploads_in_use', gone)
redis.call('SADD', 'hc:uploads_in_use', fresh)
total('replaced')
return 1
