-- Keeps what is new of one run and tells every process of it.
-- KEYS: the run's hash, the sorted set of runs.
-- ARGV: run id, run, channel, ms an ended run is kept, ms a silent one, most runs, most errors of a run,
--       start of every run's key; then field and event in turns.
local hash, runs = KEYS[1], KEYS[2]
local id, run, channel, key_prefix = ARGV[1], ARGV[2], ARGV[3], ARGV[8]
local kept_ended_ms, kept_silent_ms = tonumber(ARGV[4]), tonumber(ARGV[5])
local runs_max, errors_max = tonumber(ARGV[6]), tonumber(ARGV[7])
-- Runs that go on rank above all that ended.
local GOES_ON = 1e15
local NO_ETAG = '"etag":""'

local is_new = redis.call('HSETNX', hash, 'run', run) == 1
local ended = redis.call('HEXISTS', hash, 'done') == 1
local fresh = {}
for i = 9, #ARGV, 2 do
  local field, event = ARGV[i], ARGV[i + 1]
  local known = redis.call('HGET', hash, field)
  local wanted = not ended and not known
  if known and string.find(known, NO_ETAG, 1, true) and not string.find(event, NO_ETAG, 1, true) then
    wanted = true
  end
  if wanted and not known and string.sub(field, 1, 6) == 'error:' then
    wanted = redis.call('HINCRBY', hash, 'errors', 1) <= errors_max
  end
  if wanted then
    redis.call('HSET', hash, field, event)
    fresh[#fresh + 1] = event
    ended = ended or field == 'done'
  end
end
if not is_new and #fresh == 0 then
  return 0
end

local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local function score(ms)
  return string.format('%.0f', ms)
end
redis.call('PEXPIRE', hash, ended and kept_ended_ms or kept_silent_ms)
redis.call('ZADD', runs, score(ended and now_ms or GOES_ON + now_ms), id)
redis.call('ZREMRANGEBYSCORE', runs, '-inf', score(now_ms - kept_ended_ms))
redis.call('ZREMRANGEBYSCORE', runs, score(GOES_ON), score(GOES_ON + now_ms - kept_silent_ms))
local excess = redis.call('ZCARD', runs) - runs_max
if excess > 0 then
  local forgotten = redis.call('ZPOPMIN', runs, excess)
  for i = 1, #forgotten, 2 do
    redis.call('UNLINK', key_prefix .. forgotten[i])
  end
end
redis.call('PUBLISH', channel, '{"run":' .. run .. ',"events":[' .. table.concat(fresh, ',') .. ']}')
return #fresh
