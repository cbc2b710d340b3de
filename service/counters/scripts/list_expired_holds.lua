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

-- [fingerprint, expires_us, details, meters], the meters that were reserved on; nil for what is no hold.
local function unpacked(stored)
    local hold = cmsgpack.unpack(stored)
    local packed, meters = cmsgpack.unpack(hold[4]), {}
    assert(type(hold[1]) == 'string' and type(hold[2]) == 'number' and type(hold[3]) == 'string')
    for i = 1, hold[6] do
        local at = (i - 1) * 6
        local epoch, window_start_us = string.match(packed[at + 3], '^(%d+):(%d+):$')
        local kind, amount = string.lower(packed[at + 4]), packed[at + 6]
        assert(type(packed[at + 1]) == 'string' and string.find(amount, '^%d*$'))
        meters[i] = { packed[at + 1], tonumber(epoch or 0), tonumber(window_start_us or 0), kind, amount == '' and '0' or amount }
    end
    return { hold[1], hold[2], hold[3], meters }
end
local function understood(stored)
    local is_hold, hold = pcall(unpacked, stored)
    return is_hold and hold or nil
end

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
