-- Read what admitted, unfinished calls hold of some meters of one tenant.
--
-- KEYS[1]  gov:{tenant}:held, a hash: `<meter id> in <epoch>:<window start in µs>:`, or the meter id alone for parallel
--          calls, -> a decimal integer; a field is gone when nothing is held
-- ARGV[1]  msgpack [field, …]
-- Answers  msgpack, one entry for each field: what is held as a decimal string, or '' when nothing is, or nothing that is
--          well-formed
--
-- Reads only. Work grows with the meters asked for, not with those the tenant has.

local fields, answer = cmsgpack.unpack(ARGV[1]), {}
local stored = read_fields(KEYS[1], fields)
for i, field in ipairs(fields) do
    local held = stored[field] or ''
    answer[i] = string.find(held, '^%d+$') and #held <= 19 and held or ''
end
return cmsgpack.pack(answer)
