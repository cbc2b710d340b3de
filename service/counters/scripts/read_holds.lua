-- Read what some calls hold.
--
-- KEYS[1]  gov:{tenant}:holds (see authorize.lua)
-- ARGV[1]  msgpack [request_id, …]
-- Answers  msgpack, one entry for each id: the hold with its meters as [meter_id, epoch, window_start_us, kind, amount], or
--          false when there is none (any more), or none that can be read
--
-- Reads only.

local answer = {}
for i, request_id in ipairs(cmsgpack.unpack(ARGV[1])) do
    local stored = redis.call('HGET', KEYS[1], request_id)
    answer[i] = stored and stored ~= 'e' and understood(stored) or false
end
return cmsgpack.pack(answer)
