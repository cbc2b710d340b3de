-- Find the tenants calls hold in.
--
-- KEYS     gov:hold:<request id> of each, a string (see authorize.lua); one key a call in a cluster
-- ARGV[1]  msgpack, not read
-- Answers  msgpack, one entry for each: the tenant's id, or '' when it is not known
--
-- Reads only.

local answer = {}
for i, tenant_id in ipairs(redis.call('MGET', unpack(KEYS))) do answer[i] = tenant_id or '' end
return cmsgpack.pack(answer)
