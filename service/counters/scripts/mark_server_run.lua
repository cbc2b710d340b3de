-- Note that every total of the ledger was merged into these runs of the servers.
--
-- KEYS[1]  gov:reconciled_run, a string
-- ARGV[1]  msgpack [run_ids, began_us], strings: a run id of every primary, and when the merging was begun
-- Answers  msgpack true
--
-- Idempotent. Named by run: a mark that survives into another run (from the file, or a replica) does not count there.

local argument = cmsgpack.unpack(ARGV[1])
redis.call('SET', KEYS[1], argument[1] .. ' ' .. argument[2])
return cmsgpack.pack(true)
