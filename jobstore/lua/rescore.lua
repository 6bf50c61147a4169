-- Put a head that was answered in line once more, for another model, as a job of its own: its prepared slices are
-- there, so it starts at the infer stage. Returns 'queued', 'exists', 'erased', or why not: 'none', or the old state.
-- ARGV: now | id of a job that succeeded | id of the new job | digest of the model | more fields as JSON
local now, old, id, model = clock(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local was = {}
local flat = redis.call('HGETALL', rec(old))
for n = 1, #flat, 2 do was[flat[n]] = flat[n + 1] end
if was.kind ~= 'job' then return 'none' end
if was.state ~= 'succeeded' then return was.state end
local there = redis.call('HGET', rec(id), 'kind')
if there then return there == 'job' and 'exists' or 'erased' end

local fields = {id = id, kind = 'job', priority = 'bulk', created_ms = now, attempt = 0, fence = 0, stored_bytes = 0,
  wanted_model = model, rescored_from = old, cache = 'miss'}
for _, name in ipairs({'site', 'content_digest', 'artifact_prefix', 'media', 'size_bytes', 'pipeline_digest', 'covariates', 'patient_age',
    'patient_sex', 'trace_id'}) do
  fields[name] = was[name]
end
write(rec(id), fields)
write(rec(id), cjson.decode(ARGV[5]))
redis.call('ZADD', 'hc:jobs:' .. was.site, now, id)
redis.call('SADD', 'hc:content:' .. was.site .. ':' .. was.content_digest, id)
total('rescored')
enqueue('infer', id, now, 0)
return 'queued'
