-- Forgets a session and everything that leads to it. Repeated after a lost answer it finds nothing.
--
-- KEYS: the row; ids by owner and key; ids by state; bytes in flight by client
-- ARGV: format of rows; id
local kept = redis.call('GET', KEYS[1])
if not kept then return 'none' end
local old = cjson.decode(kept)
if old.format > tonumber(ARGV[1]) then return 'newer' end
local client = old.session.client
if old.in_flight_bytes > 0 then
  local less = string.format('%.0f', -old.in_flight_bytes)
  if redis.call('HINCRBY', KEYS[4], client, less) <= 0 then redis.call('HDEL', KEYS[4], client) end
end
redis.call('DEL', KEYS[1])
redis.call('HDEL', KEYS[2], #old.session.owner .. ':' .. old.session.owner .. old.session.idempotency_key)
redis.call('ZREM', KEYS[3], old.state .. ':' .. ARGV[2])
return 'done'
