-- A page of the tenants that may have holds, for each worker to look for expired ones.
--
-- KEYS[1]  gov:holding (see note_holding_tenant.lua)
-- ARGV[1]  msgpack [start, most, done, done_before_us]: tenants in `done` have no holds any more and are taken out, if
--          nobody noted them since
-- Answers  msgpack [tenant_id, …]
--
-- Safe to repeat.

local start, most, done, done_before_us = unpack(cmsgpack.unpack(ARGV[1]))
for _, tenant_id in ipairs(done) do
    local noted_us = redis.call('ZSCORE', KEYS[1], tenant_id)
    if noted_us and tonumber(noted_us) < done_before_us then redis.call('ZREM', KEYS[1], tenant_id) end
end
return cmsgpack.pack(redis.call('ZRANGE', KEYS[1], start, start + most - 1))
