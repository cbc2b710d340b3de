-- The ledger's partitions: a day (UTC) each, and the default one for what has none.

-- name: list_missing_days(first_day, last_day)
-- The days no partition has a part of, in order. Uses usage_events_partitions, a view of the catalog.
SELECT days.day::date AS day
  FROM generate_series(:first_day::date::timestamp, :last_day::date::timestamp, interval '1 day') AS days (day)
 WHERE NOT EXISTS (SELECT FROM usage_events_partitions AS partitions
                    WHERE partitions.from_at < day_starts(days.day::date + 1)
                      AND partitions.to_at > day_starts(days.day::date))
 ORDER BY days.day;

-- name: measure_default_partition()$
-- How many bytes are read through when another partition is attached. Uses no index.
SELECT pg_relation_size('usage_events_default');

-- name: add_usage_day(day)$
-- Whether the day got its partition; not when rows of it are in the default one. Locks usage_events_default while that is
-- read through. Uses usage_events_default_pkey.
SELECT add_usage_day(:day::date);

-- name: list_outdated_partitions(before)
-- Those of which everything was recorded before that, oldest first. Uses usage_events_partitions, a view of the catalog.
SELECT name, from_at, to_at FROM usage_events_partitions WHERE to_at <= :before::timestamptz ORDER BY to_at, name;

-- name: drop_usage_partition(name)!
-- With all that is in it. Locks usage_events, its partition and usage_events_default for a moment.
CALL drop_usage_partition(:name::text);

-- name: list_days_in_default(before_day, days_limit)
-- Days before that of which the default partition has rows, in order: by one look into the index for each.
-- Uses usage_events_default_pkey.
WITH RECURSIVE days AS (
    SELECT (min(recorded_at) AT TIME ZONE 'UTC')::date AS day FROM usage_events_default
     UNION ALL
    SELECT (SELECT (min(recorded_at) AT TIME ZONE 'UTC')::date FROM usage_events_default
             WHERE recorded_at >= day_starts(days.day + 1))
      FROM days WHERE days.day IS NOT NULL
)
SELECT day FROM days WHERE day < :before_day::date LIMIT :days_limit::bigint;

-- name: count_in_default(day, at_most)$
-- How many rows of a day the default partition has, counted as far as at_most.
-- Uses usage_events_default_pkey.
SELECT count(*)
  FROM (SELECT FROM usage_events_default
         WHERE recorded_at >= day_starts(:day::date) AND recorded_at < day_starts(:day::date + 1)
         LIMIT :at_most::bigint) AS found;

-- name: close_usage_day(day)!
-- The default partition takes no more rows of a day that is over, as they are to be moved. Locks it for a moment.
CALL close_usage_day(:day::date);

-- name: create_usage_day(day)!
-- A table for the day, not yet a partition.
CALL create_usage_day(:day::date);

-- name: move_usage(day, batch_limit)$
-- Moves the next rows of the day out of the default partition, in order; answers how many.
-- Uses usage_events_default_pkey.
SELECT move_usage(:day::date, :batch_limit::bigint);

-- name: check_usage_moved()!
-- Reads the default partition through for rows of the day that was closed, while others read and write it. Uses no index.
ALTER TABLE usage_events_default VALIDATE CONSTRAINT usage_events_day_moving;

-- name: finish_usage_move(day)!
-- Makes the table of the day a partition. Locks usage_events_default for a moment, which was checked before.
CALL finish_usage_move(:day::date);

-- name: vacuum_default_partition()!
-- Gives back the room of rows that were moved: the shorter it is, the shorter the locks that read it through.
-- Uses no index.
VACUUM usage_events_default;

-- name: limit_waits(lock_timeout_ms, statement_timeout_ms)^
-- To the end of the transaction: who waits for a table makes all that come after wait too. Uses no index.
SELECT set_config('lock_timeout', :lock_timeout_ms::integer::text, true),
       set_config('statement_timeout', :statement_timeout_ms::integer::text, true);
