-- Part of scripts that answer holds: reading one as authorize.lua stores it.

-- [fingerprint, expires_us, details, meters], the meters that were reserved on; nil for what is no hold.
local function unpacked(stored)
    local hold = cmsgpack.unpack(stored)
    local texts, amounts = unpack(cmsgpack.unpack(hold[4]))
    local meters = {}
    assert(type(hold[1]) == 'string' and type(hold[2]) == 'number' and type(hold[3]) == 'string')
    for i = 1, hold[6] do
        local meter_id, start, kind, amount = texts[4 * i - 3], texts[4 * i - 2], texts[4 * i - 1], amounts[i]
        local epoch, window_start_us = string.match(start, '^(%d+):(%d+):$')
        assert(type(meter_id) == 'string' and string.find(amount, '^%d*$'))
        if amount == '' then amount = '0' end
        meters[i] = { meter_id, tonumber(epoch or 0), tonumber(window_start_us or 0), string.lower(kind), amount }
    end
    return { hold[1], hold[2], hold[3], meters }
end
local function understood(stored)
    local is_hold, hold = pcall(unpacked, stored)
    return is_hold and hold or nil
end
