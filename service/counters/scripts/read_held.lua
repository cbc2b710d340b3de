-- Read what admitted, unfinished calls hold of some meters of one tenant.
--
-- KEYS[1]  gov:{tenant}:held, a hash: `<meter id> in <epoch>:<window start in µs>:`, or the meter id alone for parallel calls,
--          -> a decimal integer; a field is gone when nothing is held
-- ARGV[1]  msgpack [field, …]
-- Answers  msgpack, one entry for each field: what is held as a decimal string, or '' when nothing is, or nothing that is
--          well-formed
--
-- Reads only. Work grows with the meters asked for, not with those the tenant has.

local answer = {}
for i, field in ipairs(cmsgpack.unpack(ARGV[1])) do
    local held = redis.call('HGET', KEYS[1], field) or ''
    answer[i] = string.find(held, '^%d+$') and #held <= 19 and held or ''
end
return cmsgpack.pack(answer)
