-- Merge absolute meter states into a tenant's counters: keep whichever state is larger.
--
-- KEYS[1]  gov:{tenant}:meters:<layout>, a hash: meter id -> "<epoch>:<window start in µs>:<used>";
--          `version` -> a number that grows with every change and never comes back, not even after the hash was lost;
--          `about` -> a text that makes Redis find the others quickly
-- ARGV[1]  msgpack [ttl_seconds, [[meter_id, epoch, window_start_us, used], …]]; `used` is a decimal string, since a Lua
--          number holds no 64-bit integer. At most 500 meters a call.
-- Answers  msgpack: how many states were changed
--
-- Idempotent and free of order: states are compared by (epoch, window start, used), so a repeated, late or overtaken merge
-- changes nothing. All or nothing: every field is read before the first is written.

local argument = cmsgpack.unpack(ARGV[1])
local ttl_seconds, states = argument[1], argument[2]

local meter_ids = {}
for i, state in ipairs(states) do meter_ids[i] = state[1] end
if #meter_ids == 0 then return cmsgpack.pack(0) end
local stored = read_fields(KEYS[1], meter_ids)

local largest, changed = {}, {}
for i, meter_id in ipairs(meter_ids) do
    local known = largest[meter_id] or parse(stored[meter_id])
    local state = { states[i][2], states[i][3], states[i][4] }
    largest[meter_id] = known
    if is_larger(state, known) then
        largest[meter_id] = state
        changed[meter_id] = true
    end
end

local fields, changes = {}, 0
for meter_id in pairs(changed) do
    local state = largest[meter_id]
    fields[#fields + 1] = meter_id
    fields[#fields + 1] = string.format('%.0f:%.0f:%s', state[1], state[2], state[3])
    changes = changes + 1
end

if changes > 0 then write(KEYS[1], fields, ttl_seconds) end
return cmsgpack.pack(changes)
