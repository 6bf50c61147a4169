-- What every script of the job store shares. jobstore/keys.py says what each key holds.
-- A transition is `enter`; nothing else writes `state`.

local STAGES = {
  preprocess = {waiting = 'queued', running = 'preprocessing'},
  infer = {waiting = 'queued_infer', running = 'inferring'},
  deliver = {waiting = 'pending', running = 'delivering'},
}
local TERMINAL = {succeeded = true, failed = true, canceled = true, expired = true}
local PRIORITY = {stat = 0, routine = 1, bulk = 2}
local CLASS = 1e13 -- wider than any time in ms, so that priority comes before age

local function rec(id) return 'hc:rec:' .. id end

-- The clock is Redis's own, so that workers with skewed clocks agree; tests pass theirs.
local function clock(given)
  if given ~= '' then return tonumber(given) end
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- HSET of all fields at once.
local function write(key, fields)
  local flat = {}
  for field, value in pairs(fields) do
    flat[#flat + 1] = field
    flat[#flat + 1] = value
  end
  if #flat > 0 then redis.call('HSET', key, unpack(flat)) end
end

local function get(id, ...) return redis.call('HMGET', rec(id), ...) end

local function total(event) redis.call('HINCRBY', 'hc:totals', event, 1) end

local function count(key, was, state)
  if was then redis.call('HINCRBY', key, was, -1) end
  redis.call('HINCRBY', key, state, 1)
end

-- One more delivery (by = 1), or one less, is owed to a site. Those of an older revision were never counted.
local function owe(site, by)
  if redis.call('INCRBY', 'hc:deliveries_owed:' .. site, by) <= 0 then
    redis.call('DEL', 'hc:deliveries_owed:' .. site)
  end
end

local function enter(id, state, now)
  local was, site, kind, batch, stored, sent =
    unpack(get(id, 'state', 'site', 'kind', 'batch', 'stored_bytes', 'size_bytes'))
  local size = stored or sent -- records of an earlier revision know one size, which was that of the stored bytes
  local live, lived = not TERMINAL[state], was and not TERMINAL[was]
  if kind == 'delivery' and live and not lived then owe(site, 1) end
  if kind == 'delivery' and lived and not live then owe(site, -1) end
  if kind == 'job' then
    count('hc:count:' .. site, was, state)
    if batch then count('hc:count_of:' .. batch, was, state) end
    if was then total('entered:' .. state) end
    if live and not lived then redis.call('INCRBY', 'hc:bytes:' .. site, size or 0) end
    if lived and not live then redis.call('DECRBY', 'hc:bytes:' .. site, size or 0) end
  end
  if kind == 'job' then redis.call('HDEL', rec(id), 'step') end -- of the work that this transition ended
  redis.call('HSET', rec(id), 'state', state, 'updated_ms', now)
  redis.call('HINCRBY', rec(id), 'version', 1)
end

local BLOCK = 256

-- A site's line has grown to n ids (by = 1), or has had n and lost one (by = -1). Ids that an older revision put
-- in line were never counted: what would sink below nothing is nothing.
local function resized(stage, n, by)
  for _, field in ipairs({n, 'b' .. math.floor((n - 1) / BLOCK)}) do
    if redis.call('HINCRBY', 'hc:longer:' .. stage, field, by) <= 0 then
      redis.call('HDEL', 'hc:longer:' .. stage, field)
    end
  end
end

-- Weighted fair queueing with unit cost: a site that starts to wait gets the present virtual time,
-- so it neither pays for its past nor is owed anything for having been idle.
local function push(stage, id)
  local site, priority, created = unpack(get(id, 'site', 'priority', 'created_ms'))
  local turn, wait = 'hc:turn:' .. stage, 'hc:wait:' .. stage .. ':' .. site
  if redis.call('ZADD', wait, PRIORITY[priority] * CLASS + created, id) == 1 then
    resized(stage, redis.call('ZCARD', wait), 1)
  end
  if not redis.call('ZSCORE', turn, site) then
    local vtime = tonumber(redis.call('GET', 'hc:vtime:' .. stage) or '0')
    local own = tonumber(redis.call('HGET', 'hc:owed:' .. stage, site) or '0')
    redis.call('ZADD', turn, math.max(vtime, own), site)
  end
end

local function enqueue(stage, id, now, not_before)
  redis.call('HSET', rec(id), 'stage', stage, 'queued_ms', now)
  redis.call('HINCRBY', 'hc:depth', stage, 1)
  enter(id, STAGES[stage].waiting, now)
  if not_before > now then
    redis.call('HSET', rec(id), 'not_before_ms', not_before)
    redis.call('ZADD', 'hc:later:' .. stage, not_before, id)
  else
    push(stage, id)
  end
end

-- Take an id out of its site's line; how many are left there, nil when it was not there.
local function unqueue(stage, site, id)
  local wait = 'hc:wait:' .. stage .. ':' .. site
  if redis.call('ZREM', wait, id) == 0 then return nil end
  local left = redis.call('ZCARD', wait)
  resized(stage, left + 1, -1)
  redis.call('HINCRBY', 'hc:depth', stage, -1)
  if left == 0 then redis.call('ZREM', 'hc:turn:' .. stage, site) end
  return left
end

local function dequeue(stage, id)
  if unqueue(stage, redis.call('HGET', rec(id), 'site'), id) then return end
  if redis.call('ZREM', 'hc:later:' .. stage, id) == 1 then redis.call('HINCRBY', 'hc:depth', stage, -1) end
end

-- Ends whatever hold the record has on the job store; the raised fence shuts out a worker that still runs.
local function detach(id)
  local stage = redis.call('HGET', rec(id), 'stage')
  dequeue(stage, id)
  redis.call('ZREM', 'hc:lease:' .. stage, id)
  redis.call('ZREM', 'hc:deadlines', id)
  redis.call('HINCRBY', rec(id), 'fence', 1)
end

-- 1 when fewer wake-ups are on their way than records wait; the Celery queue is named like the stage.
local function lacking(stage)
  local waiting = tonumber(redis.call('HGET', 'hc:depth', stage) or '0')
  return redis.call('LLEN', stage) < waiting and 1 or 0
end

local announced = 0 -- by this script

-- The outbox: every terminal job owes each of its site's webhook endpoints one delivery, and a superseded one more.
local function announce(id, state, now)
  local site, trace, parent, round = unpack(get(id, 'site', 'trace_id', 'traceparent', 'round'))
  for _, endpoint in ipairs(redis.call('HKEYS', 'hc:endpoints:' .. site)) do
    local delivery = 'whd_' .. string.sub(id, 5) .. '_' .. string.sub(endpoint, 5)
    if round then delivery = delivery .. '_r' .. round end -- ended before, and was opened again
    if state == 'superseded' then delivery = delivery .. '_s' end -- beside the one that told how it ended
    if redis.call('EXISTS', rec(delivery)) == 0 then
      redis.call('HSET', rec(delivery), 'id', delivery, 'kind', 'delivery', 'site', site, 'priority', 'routine',
        'created_ms', now, 'attempt', 0, 'fence', 0, 'job_id', id, 'event', 'job.' .. state,
        'endpoint_id', endpoint, 'trace_id', trace or '', 'traceparent', parent or '')
      redis.call('ZADD', 'hc:deliveries:' .. site, now, delivery)
      redis.call('SADD', 'hc:deliveries_of:' .. id, delivery)
      enqueue('deliver', delivery, now, 0)
      announced = announced + 1
    end
  end
end

-- How long jobs took to end, as a histogram, and which errors ended them.
local BOUNDS = {1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600}

local function tally(id, state, now, code)
  local spent, bound = now - tonumber(redis.call('HGET', rec(id), 'created_ms')), 'inf'
  for _, seconds in ipairs(BOUNDS) do
    if spent <= seconds * 1000 then
      bound = seconds
      break
    end
  end
  total('ended:' .. state .. ':' .. bound)
  redis.call('HINCRBY', 'hc:totals', 'ended_ms:' .. state, spent)
  if code ~= '' then total('failed:' .. code) end
end

local function discard(input)
  redis.call('SREM', 'hc:uploads_in_use', input)
  redis.call('RPUSH', 'hc:pending_deletions', input)
end

-- Whether the upload of a job that we failed stays for a while, so that the job can be opened again.
local KEPT_SECONDS = 0 -- not at all, unless the site asked for it; jobstore/sites.py says the same

local function quarantine(id, code, now)
  if code ~= 'job.dead_lettered' then return false end
  local site = redis.call('HGET', rec(id), 'site')
  local kept = tonumber(redis.call('HGET', 'hc:site:' .. site, 'quarantine_seconds') or KEPT_SECONDS)
  if kept > 0 then redis.call('ZADD', 'hc:quarantine', now + kept * 1000, id) end
  return kept > 0
end

-- What the log says of a record that a script ended or moved without its worker.
local function told(event, id)
  local names = {'site', 'stage', 'attempt', 'fence', 'trace_id', 'job_id'}
  local found = {event, id}
  for n, value in ipairs(get(id, unpack(names))) do found[n + 2] = value or '' end
  return found
end

local function finish(id, state, now, code, detail)
  detach(id)
  if code ~= '' then redis.call('HSET', rec(id), 'error_code', code, 'error_detail', detail) end
  redis.call('HSET', rec(id), 'finished_ms', now)
  enter(id, state, now)
  local kind, input = unpack(get(id, 'kind', 'input_blob'))
  if kind == 'job' then
    if input and input ~= '' and not quarantine(id, code, now) then discard(input) end
    tally(id, state, now, code)
    announce(id, state, now)
  end
end

-- From now on no record can name this upload, however late its submit comes: it may be deleted. They are counted,
-- not timed, because a clock that steps would forget them too early.
local MOST_WITHDRAWN = 100000

local function withdraw(input)
  redis.call('ZADD', 'hc:withdrawn', redis.call('INCR', 'hc:withdrawals'), input)
  redis.call('ZREMRANGEBYRANK', 'hc:withdrawn', 0, -MOST_WITHDRAWN - 1)
end

local function is_withdrawn(input) return redis.call('ZSCORE', 'hc:withdrawn', input) ~= false end

local function inbox(what, name) return 'hc:inbox:' .. what .. ':' .. name end

-- Nothing more is known of a study that was collected, and its blobs go; its jobs stay.
local function forget_study(study)
  local site, bytes, instances = unpack(redis.call('HMGET', inbox('study', study), 'site', 'bytes', 'instances'))
  if not site then return false end
  for _, chunk in ipairs(redis.call('SMEMBERS', inbox('chunks', study))) do
    withdraw(chunk)
    discard(chunk)
  end
  redis.call('HINCRBY', inbox('held', site), 'bytes', 0 - tonumber(bytes))
  redis.call('HINCRBY', inbox('held', site), 'instances', 0 - tonumber(instances))
  redis.call('ZREM', inbox('studies', site), study)
  redis.call('ZREM', 'hc:inbox:due', study)
  redis.call('DEL', inbox('study', study), inbox('instances', study), inbox('series', study), inbox('chunks', study))
  return true
end

-- A newer job over the same study takes the place of an old one, which ends if it has not; its result stays.
local function supersede(old, id, site, now)
  local kind, owner, state = unpack(get(old, 'kind', 'site', 'state'))
  if kind ~= 'job' or owner ~= site or old == id then return end
  redis.call('HSET', rec(old), 'superseded_by', id)
  redis.call('HINCRBY', rec(old), 'version', 1)
  if not TERMINAL[state] then finish(old, 'canceled', now, '', '') end
  announce(old, 'superseded', now)
end

-- A claim is held only while state, fence and stage are those it was given with.
local function holds(id, stage, fence)
  local state, at = unpack(get(id, 'state', 'fence'))
  return state == STAGES[stage].running and at == fence
end

-- Whether it names a batch that its site does not have.
local function strange_batch(record)
  return record.batch and redis.call('HGET', 'hc:batch:' .. record.batch, 'site') ~= record.site
end

-- Why no more of this site's may wait, nil when it may.
local function crowded(record, limit)
  if tonumber(redis.call('HGET', 'hc:depth', 'preprocess') or '0') >= limit then return 'backlog' end
  local jobs, bytes = unpack(redis.call('HMGET', 'hc:site:' .. record.site, 'most_waiting', 'most_bytes'))
  local queued, scored = unpack(redis.call('HMGET', 'hc:count:' .. record.site, 'queued', 'queued_infer'))
  local held = tonumber(redis.call('GET', 'hc:bytes:' .. record.site) or '0')
  jobs, bytes = tonumber(jobs or '0'), tonumber(bytes or '0')
  if jobs > 0 and tonumber(queued or '0') + tonumber(scored or '0') >= jobs then return 'quota:jobs' end
  if bytes > 0 and held + (tonumber(record.stored_bytes) or 0) > bytes then return 'quota:bytes' end
end

-- Why nothing more of this site's may be recorded, whether its result is known or not, nil when it may.
local function overfull(site)
  local deliveries, kept = unpack(redis.call('HMGET', 'hc:site:' .. site, 'most_deliveries', 'most_kept'))
  deliveries, kept = tonumber(deliveries or '0'), tonumber(kept or '0')
  local owed = tonumber(redis.call('GET', 'hc:deliveries_owed:' .. site) or '0')
  if deliveries > 0 and owed >= deliveries then return 'quota:deliveries' end
  if kept > 0 and redis.call('ZCARD', 'hc:jobs:' .. site) >= kept then return 'quota:kept' end
end
