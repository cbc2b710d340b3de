-- Merge absolute meter states into a tenant's counters: keep whichever state is larger.
--
-- KEYS[1]  gov:{tenant}:meters:<layout>, a hash: meter id -> "<epoch>:<window start in µs>:<used>"; and
--          `version` -> a number that grows with every change and never comes back, not even after the hash was lost
-- ARGV[1]  msgpack [ttl_seconds, [[meter_id, epoch, window_start_us, used], …]]; `used` is a decimal string, since a Lua
--          number holds no 64-bit integer. At most 500 meters a call.
-- Answers  msgpack: how many states were changed
--
-- Idempotent and free of order: states are compared by (epoch, window start, used), so a repeated, late or overtaken merge
-- changes nothing. All or nothing: every field is read before the first is written.

local argument = cmsgpack.unpack(ARGV[1])
local ttl_seconds, states = argument[1], argument[2]

local function is_larger(state, stored)
    local epoch, window_start_us, used = string.match(stored, '^(%d+):(%d+):(%d+)$')
    if not epoch then return true end
    epoch, window_start_us = tonumber(epoch), tonumber(window_start_us)
    if state[2] ~= epoch then return state[2] > epoch end
    if state[3] ~= window_start_us then return state[3] > window_start_us end
    -- Decimal strings without leading zeros: the longer is the larger, and of one length the later in order.
    if #state[4] ~= #used then return #state[4] > #used end
    return state[4] > used
end

local meter_ids = {}
for i, state in ipairs(states) do meter_ids[i] = state[1] end
if #meter_ids == 0 then return cmsgpack.pack(0) end
local stored = redis.call('HMGET', KEYS[1], unpack(meter_ids))

local changes = {}
for i, state in ipairs(states) do
    if not stored[i] or is_larger(state, stored[i]) then
        changes[#changes + 1] = state[1]
        changes[#changes + 1] = string.format('%.0f:%.0f:%s', state[2], state[3], state[4])
    end
end

if #changes > 0 then
    -- Microseconds of the server's clock, or one more than before: a version is never used twice.
    local time = redis.call('TIME')
    local version = math.max(time[1] * 1000000 + time[2], (redis.call('HGET', KEYS[1], 'version') or 0) + 1)
    changes[#changes + 1] = 'version'
    changes[#changes + 1] = string.format('%.0f', version)
    redis.call('HSET', KEYS[1], unpack(changes))
    redis.call('EXPIRE', KEYS[1], ttl_seconds)
end
return cmsgpack.pack((#changes > 0 and #changes / 2 - 1) or 0)
