-- Find holds that have expired, and forget ids that ended long enough ago.
--
-- KEYS[1]  gov:{tenant}:holds (see authorize.lua)
-- KEYS[2]  gov:{tenant}:expiries
-- ARGV[1]  msgpack [now_us, most]
-- Answers  msgpack [left, [[request_id, hold], …]]: how many ids are left in all, and up to `most` expired holds as stored,
--          which stay until they are ended
--
-- Safe to repeat. At most `most` ids are looked at.

local now_us, most = unpack(cmsgpack.unpack(ARGV[1]))
local found = {}
for _, request_id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now_us), 'LIMIT', 0, most)) do
    local stored = redis.call('HGET', KEYS[1], request_id)
    if stored and stored ~= 'e' then
        found[#found + 1] = { request_id, cmsgpack.unpack(stored) }
    else
        redis.call('HDEL', KEYS[1], request_id)
        redis.call('ZREM', KEYS[2], request_id)
    end
end
return cmsgpack.pack({ redis.call('ZCARD', KEYS[2]), found })
