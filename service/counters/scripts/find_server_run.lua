-- Which run of the server this is.
--
-- KEYS     none: each primary is asked
-- ARGV[1]  msgpack, not read
-- Answers  msgpack run_id
--
-- A restart, a failover and a restored backup are another run; what such a server holds may be older than what it was told.

return cmsgpack.pack(string.match(redis.call('INFO', 'server'), 'run_id:(%w+)'))
