-- Note that every total of the ledger was merged into these runs of the servers.
--
-- KEYS[1]  gov:reconciled_run, a string
-- ARGV[1]  msgpack [run_ids], one string with a run id of every primary
-- Answers  msgpack true
--
-- Idempotent. Named by run: a mark that survives into another run (from the file, or a replica) does not count there.

redis.call('SET', KEYS[1], cmsgpack.unpack(ARGV[1])[1])
return cmsgpack.pack(true)
