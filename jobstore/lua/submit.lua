-- Write a record and put it in line, or finish it at once when its result is already known.
-- Returns why not, or 'ok' or 'exists' with the record: whoever asks twice is told the same.
-- ARGV: now | record as JSON | limit of waiting jobs | state ('' = queue it)
local now, limit, state = clock(ARGV[1]), tonumber(ARGV[3]), ARGV[4]
local record = cjson.decode(ARGV[2])
if redis.call('EXISTS', rec(record.id)) == 1 then
  total('repeated') -- a write: WAIT on this connection then covers the record that it shows
  return {'exists', 0, redis.call('HGETALL', rec(record.id))}
end
if record.input_blob and is_withdrawn(record.input_blob) then return {'withdrawn', 0, {}} end
if strange_batch(record) then return {'no_batch', 0, {}} end
local content = record.site .. ':' .. record.content_digest

-- What the gateway found may have been erased since it looked.
local key = record.answer_key
record.answer_key = nil
if key and redis.call('HEXISTS', 'hc:cached_names:' .. content, key) == 0 then
  if record.unstored then return {'forgotten', 0, {}} end
  state, record.cache = '', 'miss'
  record.result, record.pipeline_digest, record.model_digest = nil, nil, nil
end

record.unstored = nil
local why = state == '' and crowded(record, limit) or overfull(record.site)
if why then return {why, 0, {}} end
write(rec(record.id), record)
redis.call('HSET', rec(record.id), 'kind', 'job', 'created_ms', now, 'attempt', 0, 'fence', 0, 'stage', 'preprocess')
redis.call('ZADD', 'hc:jobs:' .. record.site, now, record.id)
if record.batch then
  redis.call('ZADD', 'hc:jobs_of:' .. record.batch, now, record.id)
  redis.call('PERSIST', 'hc:batch:' .. record.batch)
  redis.call('ZREM', 'hc:batches_unused:' .. record.site, record.batch)
end
redis.call('SADD', 'hc:sites', record.site)
if record.input_blob then redis.call('SADD', 'hc:uploads_in_use', record.input_blob) end
-- Jobs of the same bytes share an artifact prefix for what is made of them, for as long as one of them is there.
local mate = redis.call('SRANDMEMBER', 'hc:content:' .. content)
local artifact_prefix = mate and redis.call('HGET', rec(mate), 'artifact_prefix')
if not mate then artifact_prefix = record.content_digest .. '-' .. redis.call('INCR', 'hc:artifact_prefixes') end
if artifact_prefix then redis.call('HSET', rec(record.id), 'artifact_prefix', artifact_prefix) end
redis.call('SADD', 'hc:content:' .. content, record.id)
total('submitted')
if record.inbox then redis.call('ZADD', inbox('jobs', record.inbox), now, record.id) end
if state ~= '' then
  if state == 'succeeded' then total('cache_hit') end
  finish(record.id, state, now, record.error_code or '', record.error_detail or '')
else
  if record.deadline_ms then redis.call('ZADD', 'hc:deadlines', record.deadline_ms, record.id) end
  enqueue('preprocess', record.id, now, tonumber(record.not_before_ms or '0'))
end
if record.supersedes then supersede(record.supersedes, record.id, record.site, now) end
return {'ok', state == '' and lacking('preprocess') or 0, redis.call('HGETALL', rec(record.id))}
