-- Which runs of the servers were last brought level with the ledger.
--
-- KEYS[1]  gov:reconciled_run, a string: what mark_server_run.lua last wrote
-- ARGV[1]  msgpack, not read
-- Answers  msgpack, that string; '' when nothing was reconciled yet

return cmsgpack.pack(redis.call('GET', KEYS[1]) or '')
