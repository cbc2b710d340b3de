-- What maintenance deletes, and whose turn it is.

-- name: begin_maintenance(now, interval)$
-- Answers 1 when the last one began so long ago, and notes that this one begins: of many replicas it is one's turn.
-- Uses maintenance_pkey.
INSERT INTO maintenance AS last (began_at) VALUES (:now::timestamptz)
    ON CONFLICT (only_row) DO UPDATE SET began_at = excluded.began_at
 WHERE last.began_at <= excluded.began_at - :interval::interval
RETURNING 1;

-- name: try_lock_maintenance(lock_id)$
-- True for one connection at a time, to the end of its transaction.
SELECT pg_try_advisory_xact_lock(:lock_id::bigint);

-- name: delete_older(table_name, time_column, before, batch_limit)$
-- Deletes rows of a table that are older than that, oldest first; answers how many.
-- Uses the index of that column.
SELECT delete_older(:table_name::text, :time_column::text, :before::timestamptz, :batch_limit::bigint);

-- name: count_older(table_name, time_column, before, at_most)$
-- How many rows delete_older would delete in all, counted as far as at_most.
-- Uses the index of that column.
SELECT count_older(:table_name::text, :time_column::text, :before::timestamptz, :at_most::bigint);

-- name: delete_short_windows(before, kept, batch_limit, dry_run)$
-- Deletes windows of at most an hour that began before that, but the latest of each meter; answers how many.
-- Reads all limits. Uses meter_windows_pkey for those of short periods.
WITH short AS MATERIALIZED (
    SELECT reset_duration
      FROM (SELECT reset_duration FROM budgets
             UNION SELECT token_reset_duration FROM rate_limits
             UNION SELECT request_reset_duration FROM rate_limits) AS periods
     WHERE reset_duration_us(reset_duration) <= 3600000000
), meters AS (
    SELECT 'budget:' || id AS meter_id FROM budgets WHERE reset_duration IN (SELECT reset_duration FROM short)
     UNION ALL
    SELECT 'tokens:' || id FROM rate_limits WHERE token_reset_duration IN (SELECT reset_duration FROM short)
     UNION ALL
    SELECT 'requests:' || id FROM rate_limits WHERE request_reset_duration IN (SELECT reset_duration FROM short)
), outdated AS (
    SELECT meter_id, epoch, window_start
      FROM meters JOIN meter_windows AS windows USING (meter_id)
     WHERE window_start < :before::timestamptz AND is_outdated_window(meter_id, epoch, window_start, :kept::bigint)
     LIMIT :batch_limit::bigint
), deleted AS (
    DELETE FROM meter_windows AS windows USING outdated
     WHERE NOT :dry_run::boolean AND windows.meter_id = outdated.meter_id AND windows.epoch = outdated.epoch
       AND windows.window_start = outdated.window_start
)
SELECT count(*) FROM outdated;

-- name: delete_outlived_windows(before, kept, after_meter_id, after_epoch, after_window_start, page_limit, dry_run)^
-- Looks through a page of windows: of those that changed last before that, deletes those of limits that are gone, and of
-- the others all but the latest of each meter. Answers how many, and the last window of the page.
-- Uses meter_windows_pkey, budgets_pkey and rate_limits_pkey.
WITH page AS (
    SELECT meter_id, epoch, window_start, updated_at
      FROM meter_windows
     WHERE (meter_id, epoch, window_start)
           > (:after_meter_id::text, :after_epoch::integer, :after_window_start::timestamptz)
     ORDER BY meter_id, epoch, window_start
     LIMIT :page_limit::bigint
), outdated AS (
    SELECT meter_id, epoch, window_start
      FROM page
     WHERE updated_at < :before::timestamptz
       AND (NOT EXISTS (SELECT FROM meter_tenant(page.meter_id))
            OR is_outdated_window(meter_id, epoch, window_start, :kept::bigint))
), deleted AS (
    DELETE FROM meter_windows AS windows USING outdated
     WHERE NOT :dry_run::boolean AND windows.meter_id = outdated.meter_id AND windows.epoch = outdated.epoch
       AND windows.window_start = outdated.window_start
)
SELECT (SELECT count(*) FROM outdated) AS deleted, meter_id, epoch, window_start
  FROM page
 ORDER BY meter_id DESC, epoch DESC, window_start DESC
 LIMIT 1;

-- name: list_virtual_keys_to_delete(as_of, after_at, after_id, page_limit)
-- Virtual keys that are to be deleted when they have expired, and have; those after the given one, in order.
-- Uses virtual_keys_to_delete.
SELECT id, expires_at
  FROM virtual_keys
 WHERE delete_after_expire AND expires_at <= :as_of::timestamptz
   AND (expires_at, id) > (:after_at::timestamptz, :after_id::text)
 ORDER BY expires_at, id
 LIMIT :page_limit::bigint;
