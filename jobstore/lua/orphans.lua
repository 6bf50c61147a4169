-- Look at stored uploads: what no job has named for so many rounds of the reconciler is withdrawn and deleted.
-- Rounds, not seconds: a machine that slept, or whose clock stepped, has made none meanwhile. Returns how many.
-- ARGV: now | this round | rounds that an upload may wait for its record | uploads as JSON
local round, patience, found = tonumber(ARGV[2]), tonumber(ARGV[3]), 0
for _, input in ipairs(cjson.decode(ARGV[4])) do
  local since = tonumber(redis.call('ZSCORE', 'hc:orphaned_uploads', input) or nil)
  if redis.call('SISMEMBER', 'hc:uploads_in_use', input) == 1 then
    redis.call('ZREM', 'hc:orphaned_uploads', input)
  elseif not since then
    redis.call('ZADD', 'hc:orphaned_uploads', round, input)
  elseif round - since >= patience then
    redis.call('ZREM', 'hc:orphaned_uploads', input)
    withdraw(input)
    redis.call('RPUSH', 'hc:pending_deletions', input)
    found = found + 1
  end
end
return found
