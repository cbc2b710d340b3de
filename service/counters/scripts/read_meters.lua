-- Read some meters of one tenant.
--
-- KEYS[1]  gov:{tenant}:meters:<layout> (see merge_meters.lua for the hash)
-- ARGV[1]  msgpack [meter_id, …]
-- Answers  msgpack, one entry for each meter: its state as stored, or '' when it is cold or not well-formed
--
-- Reads only. Work grows with the meters asked for, not with those the tenant has.

local meter_ids, answer = cmsgpack.unpack(ARGV[1]), {}
local stored = read_fields(KEYS[1], meter_ids)
for i, meter_id in ipairs(meter_ids) do
    local state = stored[meter_id] or ''
    answer[i] = string.find(state, '^[%d:]+$') and state or ''
end
return cmsgpack.pack(answer)
