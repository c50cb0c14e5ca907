-- Puts a member into a set, if there is room. Repeated after a lost answer it finds the member with the
-- mark of its own call. The set ends by Redis's clock, whatever the callers' say.
--
-- KEYS: the set, as a hash of members with the mark of the call that put each in
-- ARGV: member; mark of this call; most members; time in ms that the set is kept
local mark = redis.call('HGET', KEYS[1], ARGV[1])
if mark then return mark == ARGV[2] and 'new' or 'known' end
local members = redis.call('HLEN', KEYS[1])
if members >= tonumber(ARGV[3]) then return 'full' end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if members == 0 then redis.call('PEXPIRE', KEYS[1], ARGV[4]) end
return 'new'
