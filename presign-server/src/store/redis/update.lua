-- Replaces a row of the version expected. Repeated after a lost answer it finds the mark of its own write
-- on the row, so that the writer is not told that somebody else was first.
--
-- KEYS: the row; ids by state; bytes in flight by client
-- ARGV: the row; its format; version expected; mark of this write; id; state; its bytes in flight
local kept = redis.call('GET', KEYS[1])
if not kept then return 'conflict' end
local old = cjson.decode(kept)
if old.format > tonumber(ARGV[2]) then return 'newer' end
if old.mark == ARGV[4] then return 'done' end
if string.format('%.0f', old.version) ~= ARGV[3] then return 'conflict' end
local more = tonumber(ARGV[7]) - old.in_flight_bytes
if more ~= 0 then
  local client = old.session.client
  local left = redis.call('HINCRBY', KEYS[3], client, string.format('%.0f', more))
  if left <= 0 then redis.call('HDEL', KEYS[3], client) end
end
redis.call('SET', KEYS[1], ARGV[1])
if old.state ~= ARGV[6] then
  redis.call('ZREM', KEYS[2], old.state .. ':' .. ARGV[5])
  redis.call('ZADD', KEYS[2], 0, ARGV[6] .. ':' .. ARGV[5])
end
return 'done'
