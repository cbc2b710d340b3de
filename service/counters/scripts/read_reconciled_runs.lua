-- Which runs of the servers were last brought level with the ledger, and how long ago that was begun.
--
-- KEYS[1]  gov:reconciled_run, a string: what mark_server_run.lua last wrote
-- ARGV[1]  msgpack, not read
-- Answers  msgpack [run_ids, began_us, now_us], all strings; '' twice when nothing was reconciled yet
--
-- The clock is that of the server, as the mark's was.

local run_ids, began_us = string.match(redis.call('GET', KEYS[1]) or '', '^(%S+) (%d+)$')
local time = redis.call('TIME')
local now_us = string.format('%.0f', time[1] * 1000000 + time[2])
return cmsgpack.pack({ run_ids or '', began_us or '', now_us })
