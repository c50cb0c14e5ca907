-- Keeps a new session, unless its owner has used its key or its client has too many bytes in flight.
-- Repeated after a lost answer it finds its own id under the key, which the caller knows from another's.
--
-- KEYS: the row; ids by owner and key; ids by state; bytes in flight by client
-- ARGV: the row; the session's id; owner and key; member of the index; client; its size in bytes;
--       its bytes in flight; most bytes in flight, or nothing
local known = redis.call('HGET', KEYS[2], ARGV[3])
if known then return {'existing', known} end
if redis.call('EXISTS', KEYS[1]) == 1 then return {'taken'} end
if ARGV[8] ~= '' then
  local sum = redis.call('HGET', KEYS[4], ARGV[5]) or '0'
  if tonumber(sum) + tonumber(ARGV[6]) > tonumber(ARGV[8]) then return {'over', sum} end
end
if ARGV[7] ~= '0' then redis.call('HINCRBY', KEYS[4], ARGV[5], ARGV[7]) end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[3], ARGV[2])
redis.call('ZADD', KEYS[3], 0, ARGV[4])
return {'new'}
