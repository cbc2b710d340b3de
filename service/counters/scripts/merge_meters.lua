-- Merge absolute meter states into a tenant's counters: keep whichever state is larger.
--
-- KEYS[1]  gov:{tenant}:meters:<layout>, a hash: meter id -> "<epoch>:<window start in µs>:<used>";
--          `version` -> a number that grows with every change and never comes back, not even after the hash was lost;
--          `about` -> a text that makes Redis find the others quickly
-- ARGV[1]  msgpack [ttl_seconds, [meter id, `<epoch>:<window start in µs>:`, used, …]]: three texts for each meter, `used`
--          a decimal one, since a Lua number holds no 64-bit integer. At most 500 meters a call.
-- Answers  msgpack: how many states were changed
--
-- Idempotent and free of order: states are compared by (epoch, window start, used), so a repeated, late or overtaken merge
-- changes nothing. All or nothing: every field is read before the first is written.

local ttl_seconds, states = unpack(cmsgpack.unpack(ARGV[1]))

local stored = read_fields(KEYS[1], meter_ids_of(states))
local changed = merge(states, stored)
return cmsgpack.pack(write(KEYS[1], changed, stored, ttl_seconds))
