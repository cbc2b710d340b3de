-- Turns of changes: many at once, or one alone.

-- name: share_turn(lock_id, lock_timeout_ms)^
-- Held to the end of the transaction by a change that may run beside others, and waits only so long for the rows of another
-- (SQLSTATE 55P03). Uses no index.
SELECT pg_advisory_xact_lock_shared(:lock_id::bigint), set_config('lock_timeout', :lock_timeout_ms::integer::text, true);

-- name: take_turn_alone(lock_id)$
-- Held to the end of the transaction by a change that runs while no other does: it waits for those under way, and those that
-- come after wait for it. Uses no index.
SELECT pg_advisory_xact_lock(:lock_id::bigint);
