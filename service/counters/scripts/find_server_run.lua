-- Which run of the server this is, and which run was last brought level with the ledger.
--
-- KEYS[1]  gov:reconciled_run, a string: the run id last written by mark_server_run.lua
-- ARGV[1]  msgpack, not read
-- Answers  msgpack [run_id, reconciled_run_id]; the second is '' when no run was reconciled yet
--
-- A restart, a failover and a restored backup are another run; what such a server holds may be older than what it was told.

local run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
return cmsgpack.pack({ run_id, redis.call('GET', KEYS[1]) or '' })
