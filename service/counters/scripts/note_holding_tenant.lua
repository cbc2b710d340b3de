-- Note that a tenant has holds, for whoever looks for expired ones.
--
-- KEYS[1]  gov:holding, a sorted set: tenant id by the microsecond it was last noted
-- ARGV[1]  msgpack [tenant_id, now_us]
-- Answers  msgpack true
--
-- Idempotent.

local tenant_id, now_us = unpack(cmsgpack.unpack(ARGV[1]))
redis.call('ZADD', KEYS[1], string.format('%.0f', now_us), tenant_id)
return cmsgpack.pack(true)
