-- Read the counters of those tenants whose counters changed since they were last read.
--
-- KEYS     gov:{tenant}:meters:<layout> of each tenant (see merge_meters.lua for the hash)
-- ARGV[1]  msgpack [known_version, …], one for each key: the version last read, '' for counters that were absent,
--          '?' to be told in any case
-- Answers  msgpack, one entry for each key: false when the version is the known one, else the hash as a flat array
--          [field, value, …] of what is well-formed in it, empty when there is none
--
-- Reads only. Work grows with what changed: an unchanged tenant costs one field.

local known = cmsgpack.unpack(ARGV[1])
local answer = {}
for i, key in ipairs(KEYS) do
    local version = redis.call('HGET', key, 'version') or ''
    if version == known[i] then
        answer[i] = false
    else
        local fields, stored = {}, redis.call('HGETALL', key)
        for j = 1, #stored, 2 do
            if string.find(stored[j + 1], '^[%d:]+$') then
                fields[#fields + 1] = stored[j]
                fields[#fields + 1] = stored[j + 1]
            end
        end
        answer[i] = fields
    end
end
return cmsgpack.pack(answer)
