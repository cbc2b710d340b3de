-- Part of scripts that merge states: reading a stored one, which is the larger, and writing them.

-- Epoch, window start and used; nil of a stored field that is no state, or longer than any can be: as good as absent.
local function parse(stored)
    local epoch, window_start_us, used = string.match(stored or '', '^(%d+):(%d+):(%d+)$')
    if not epoch or #epoch > 10 or #window_start_us > 16 or #used > 19 then return nil end
    return { tonumber(epoch), tonumber(window_start_us), used }
end

-- Decimal strings without leading zeros: the longer is the larger, and of one length the later in order.
local function is_more(used, known)
    if #used ~= #known then return #used > #known end
    return used > known
end

-- Of `start` "<epoch>:<window start in µs>:" and `used`, whether it is larger than what is stored.
local function is_larger(start, used, stored)
    if stored and string.sub(stored, 1, #start) == start then
        local known = string.match(stored, '^%d+$', #start + 1)
        return not known or #known > 19 or is_more(used, known)
    end
    local known = parse(stored)
    if not known then return true end
    local epoch, window_start_us = string.match(start, '^(%d+):(%d+):$')
    epoch, window_start_us = tonumber(epoch), tonumber(window_start_us)
    if epoch ~= known[1] then return epoch > known[1] end
    return window_start_us > known[2]
end

-- Of states as meter id, start, used, meter id, …: those larger than what is stored take its place there. By meter id,
-- which did.
local function merge(states, stored)
    local changed = {}
    for i = 1, #states, 3 do
        local meter_id, start, used = states[i], states[i + 1], states[i + 2]
        if is_larger(start, used, stored[meter_id]) then
            stored[meter_id], changed[meter_id] = start .. used, true
        end
    end
    return changed
end

local function meter_ids_of(states)
    local meter_ids = {}
    for i = 1, #states, 3 do meter_ids[#meter_ids + 1] = states[i] end
    return meter_ids
end

-- Redis keeps a hash of up to 512 short texts as a list, and looks for each field from its beginning: a quarter of what an
-- authorize cost it, for a tenant of a hundred virtual keys. One text of more than 64 bytes makes the hash a table.
local ABOUT = 'states of meters by their id; so long a text that Redis keeps a table of them, not a list'

-- How many of what is stored changed, which is written.
local function write(key, changed, stored, ttl_seconds)
    local fields = {}
    for meter_id in pairs(changed) do
        fields[#fields + 1] = meter_id
        fields[#fields + 1] = stored[meter_id]
    end
    local changes = #fields / 2
    if changes == 0 then return 0 end
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
    return changes
end
