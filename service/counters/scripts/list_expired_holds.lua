-- Find holds that have expired, and forget ids that ended long enough ago.
--
-- KEYS[1]  gov:{tenant}:holds (see authorize.lua)
-- KEYS[2]  gov:{tenant}:expiries
-- KEYS[3]  gov:{tenant}:ended (see settle_holds.lua)
-- ARGV[1]  msgpack [now_us, most]
-- Answers  msgpack [open, ended, [[request_id, hold], …]]: how many holds there are, how many ids are remembered, and up
--          to `most` expired holds with their meters as in read_holds.lua, which stay until they are ended; one that
--          cannot be read is dropped
--
-- Safe to repeat. At most `most` ids of each kind are looked at.

local now_us, most = unpack(cmsgpack.unpack(ARGV[1]))
local now, found = string.format('%.0f', now_us), {}
for _, request_id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, most)) do
    local stored = redis.call('HGET', KEYS[1], request_id)
    local hold = stored and stored ~= 'e' and understood(stored)
    if hold then
        found[#found + 1] = { request_id, hold }
    else
        if stored and stored ~= 'e' then redis.call('HDEL', KEYS[1], request_id) end
        redis.call('ZREM', KEYS[2], request_id)
    end
end
local old = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, most)
if #old > 0 then
    for _, request_id in ipairs(old) do
        -- Unless it holds again.
        if redis.call('HGET', KEYS[1], request_id) == 'e' then redis.call('HDEL', KEYS[1], request_id) end
    end
    redis.call('ZREM', KEYS[3], unpack(old))
end
return cmsgpack.pack({ redis.call('ZCARD', KEYS[2]), redis.call('ZCARD', KEYS[3]), found })
