-- Note which tenant a call holds in, where a cluster keeps that in another slot than the hold (see authorize.lua).
--
-- KEYS[1]  gov:hold:<request id>, a string
-- ARGV[1]  msgpack [tenant_id, ttl_ms]
-- Answers  msgpack true
--
-- Idempotent; what is known for longer stays known as long.

local tenant_id, ttl_ms = unpack(cmsgpack.unpack(ARGV[1]))
local longest_ms = math.max(ttl_ms, redis.call('PTTL', KEYS[1]), 1)
redis.call('SET', KEYS[1], tenant_id, 'PX', string.format('%.0f', longest_ms))
return cmsgpack.pack(true)
