-- Read what some calls hold.
--
-- KEYS[1]  gov:{tenant}:holds (see authorize.lua)
-- ARGV[1]  msgpack [request_id, …]
-- Answers  msgpack, one entry for each id: the hold as stored, or false when there is none (any more)
--
-- Reads only.

local answer = {}
for i, request_id in ipairs(cmsgpack.unpack(ARGV[1])) do
    local stored = redis.call('HGET', KEYS[1], request_id)
    answer[i] = stored and stored ~= 'e' and cmsgpack.unpack(stored)
end
return cmsgpack.pack(answer)
