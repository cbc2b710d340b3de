-- Part of scripts that merge states: reading a stored one, which of two is the larger, and writing them.

-- A stored field that is not a state, or longer than any can be, is as good as absent.
local function parse(stored)
    local epoch, window_start_us, used = string.match(stored or '', '^(%d+):(%d+):(%d+)$')
    if not epoch or #epoch > 10 or #window_start_us > 16 or #used > 19 then return nil end
    return { tonumber(epoch), tonumber(window_start_us), used }
end

local function is_larger(state, known)
    if not known then return true end
    if state[1] ~= known[1] then return state[1] > known[1] end
    if state[2] ~= known[2] then return state[2] > known[2] end
    -- Decimal strings without leading zeros: the longer is the larger, and of one length the later in order.
    if #state[3] ~= #known[3] then return #state[3] > #known[3] end
    return state[3] > known[3]
end

-- Redis keeps a hash of up to 512 short texts as a list, and looks for each field from its beginning: a third of what an
-- authorize costs it, for a tenant of a hundred virtual keys. One text of more than 64 bytes makes the hash a table.
local ABOUT = 'states of meters by their id; so long a text that Redis keeps a table of them, not a list'

-- States as field, value, field, value, …; one at least.
local function write(key, fields, ttl_seconds)
    -- Microseconds of the server's clock, or one more than before: a version is never used twice.
    local time, before = redis.call('TIME'), redis.call('HGET', key, 'version')
    if not before then
        fields[#fields + 1], fields[#fields + 2] = 'about', ABOUT
    end
    before = before and string.match(before, '^%d+$') and #before <= 16 and tonumber(before) or 0
    fields[#fields + 1] = 'version'
    fields[#fields + 1] = string.format('%.0f', math.max(time[1] * 1000000 + time[2], before + 1))
    redis.call('HSET', key, unpack(fields))
    redis.call('EXPIRE', key, ttl_seconds)
end
