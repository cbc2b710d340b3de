-- Part of scripts that answer holds: reading one as authorize.lua stores it.

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
