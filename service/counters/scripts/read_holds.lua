-- Read what some calls hold.
--
-- KEYS[1]  gov:{tenant}:holds (see authorize.lua)
-- ARGV[1]  msgpack [request_id, …]
-- Answers  msgpack, one entry for each id: the hold with its meters as [meter_id, epoch, window_start_us, kind, amount], or
--          false when there is none (any more), or none that can be read
--
-- Reads only.

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

local answer = {}
for i, request_id in ipairs(cmsgpack.unpack(ARGV[1])) do
    local stored = redis.call('HGET', KEYS[1], request_id)
    answer[i] = stored and stored ~= 'e' and understood(stored) or false
end
return cmsgpack.pack(answer)
