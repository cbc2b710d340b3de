-- Retention: the ledger in partitions of a day (UTC, of recorded_at), and what is needed to maintain it. Called by
-- `governance maintain` only, one at a time.

-- When the last maintenance began: replicas take turns by it.
CREATE TABLE maintenance (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    began_at timestamptz NOT NULL
);

-- Summaries of block ranges (BRIN) keep the bounds of what was deleted: once the space is used again, every search for old
-- request ids would read the whole table.
DROP INDEX usage_requests_recorded_at;
CREATE INDEX usage_requests_recorded_at ON usage_requests (recorded_at);

CREATE INDEX virtual_keys_to_delete ON virtual_keys (expires_at, id) WHERE delete_after_expire;

-- The partitions of the ledger but the default one, whoever made them.
CREATE VIEW usage_events_partitions AS
    SELECT partitions.relname::text AS name,
           CASE bounds[1] WHEN 'MINVALUE' THEN '-infinity' ELSE btrim(bounds[1], '''') END::timestamptz AS from_at,
           CASE bounds[2] WHEN 'MAXVALUE' THEN 'infinity' ELSE btrim(bounds[2], '''') END::timestamptz AS to_at
      FROM pg_inherits
      JOIN pg_class AS partitions ON partitions.oid = inhrelid
     CROSS JOIN regexp_match(pg_get_expr(partitions.relpartbound, partitions.oid), 'FROM \((.+)\) TO \((.+)\)') AS bounds
     WHERE inhparent = 'usage_events'::regclass AND bounds IS NOT NULL;

CREATE FUNCTION day_starts(day date) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE AS $$ SELECT day::timestamp AT TIME ZONE 'UTC' $$;

CREATE FUNCTION usage_day_table(day date) RETURNS text
    LANGUAGE sql IMMUTABLE AS $$ SELECT 'usage_events_' || to_char(day, 'YYYYMMDD') $$;

-- The CHECK says of its rows what ATTACH would else read through all of them for, and goes with it.
CREATE PROCEDURE create_usage_day(day date)
    LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE %I (LIKE usage_events INCLUDING ALL EXCLUDING IDENTITY, CONSTRAINT usage_events_day '
                   'CHECK (recorded_at >= %L AND recorded_at < %L))',
                   usage_day_table(day), day_starts(day), day_starts(day + 1));
END $$;

-- Waits for those who read or write the default partition, and makes others wait while that is read through for rows of the
-- day, unless a CHECK says that there are none.
CREATE PROCEDURE attach_usage_day(day date)
    LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE usage_events ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                   usage_day_table(day), day_starts(day), day_starts(day + 1));
    EXECUTE format('ALTER TABLE %I DROP CONSTRAINT usage_events_day', usage_day_table(day));
END $$;

-- Gives a day its partition; answers false for one that has rows in the default partition or in another.
CREATE FUNCTION add_usage_day(day date) RETURNS boolean
    LANGUAGE plpgsql AS $$
BEGIN
    -- No row of the day comes in after it was looked for; and none is on its way to the default partition, which would refuse it.
    LOCK TABLE ONLY usage_events IN SHARE ROW EXCLUSIVE MODE;
    LOCK TABLE usage_events_default IN ACCESS EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM usage_events_partitions AS other
                WHERE other.from_at < day_starts(day + 1) AND other.to_at > day_starts(day))
       OR EXISTS (SELECT FROM usage_events_default
                   WHERE recorded_at >= day_starts(day) AND recorded_at < day_starts(day + 1)) THEN
        RETURN false;
    END IF;
    CALL create_usage_day(day);
    CALL attach_usage_day(day);
    RETURN true;
END $$;

-- The rows of a day that is over are moved in one transaction, for no reader to see them twice or not at all. Before
-- it: the default partition takes no more rows of the day, which lets it be read through later without a lock.
CREATE PROCEDURE close_usage_day(day date)
    LANGUAGE plpgsql AS $$
BEGIN
    ALTER TABLE usage_events_default DROP CONSTRAINT IF EXISTS usage_events_day_moving;
    EXECUTE format('ALTER TABLE usage_events_default ADD CONSTRAINT usage_events_day_moving '
                   'CHECK (recorded_at < %L OR recorded_at >= %L) NOT VALID', day_starts(day), day_starts(day + 1));
END $$;

-- Moves rows of the day, in order; answers how many. Those up to the last that was moved are not looked at again.
CREATE FUNCTION move_usage(day date, batch_limit bigint) RETURNS bigint
    LANGUAGE plpgsql AS $$
DECLARE
    last_at timestamptz := '-infinity';
    last_id bigint := 0;
    moved bigint;
BEGIN
    EXECUTE format('SELECT recorded_at, id FROM %I ORDER BY recorded_at DESC, id DESC LIMIT 1', usage_day_table(day))
       INTO last_at, last_id;
    EXECUTE format('WITH gone AS (DELETE FROM usage_events_default WHERE ctid = ANY (ARRAY('
                   'SELECT ctid FROM usage_events_default WHERE recorded_at >= $1 AND recorded_at < $2 '
                   'AND (recorded_at, id) > ($3, $4) ORDER BY recorded_at, id LIMIT $5)) RETURNING *) '
                   'INSERT INTO %I SELECT * FROM gone', usage_day_table(day))
      USING day_starts(day), day_starts(day + 1), coalesce(last_at, '-infinity'), coalesce(last_id, 0), batch_limit;
    GET DIAGNOSTICS moved = ROW_COUNT;
    RETURN moved;
END $$;

CREATE PROCEDURE finish_usage_move(day date)
    LANGUAGE plpgsql AS $$
BEGIN
    CALL attach_usage_day(day);
    ALTER TABLE usage_events_default DROP CONSTRAINT usage_events_day_moving;
END $$;

CREATE PROCEDURE drop_usage_partition(name text)
    LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('DROP TABLE %I', name);
END $$;

-- Deletes rows of a table that are older than that, oldest first; answers how many. Needs an index of the column.
CREATE FUNCTION delete_older(table_name text, time_column text, before timestamptz, batch_limit bigint) RETURNS bigint
    LANGUAGE plpgsql SET timezone TO 'UTC' AS $$
DECLARE
    deleted bigint;
BEGIN
    EXECUTE format('DELETE FROM %1$I WHERE ctid = ANY (ARRAY('
                   'SELECT ctid FROM %1$I WHERE %2$I < $1 ORDER BY %2$I LIMIT $2 FOR UPDATE SKIP LOCKED))',
                   table_name, time_column) USING before, batch_limit;
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN deleted;
END $$;

-- How many delete_older would delete, counted as far as `at_most`.
CREATE FUNCTION count_older(table_name text, time_column text, before timestamptz, at_most bigint) RETURNS bigint
    LANGUAGE plpgsql SET timezone TO 'UTC' AS $$
DECLARE
    found bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM (SELECT FROM %I WHERE %I < $1 LIMIT $2) AS older', table_name, time_column)
       INTO found USING before, at_most;
    RETURN found;
END $$;

-- Whether the meter has at least `kept` windows after this one.
CREATE FUNCTION is_outdated_window(
    windows_of text, window_epoch integer, started_at timestamptz, kept bigint
) RETURNS boolean
    LANGUAGE sql STABLE AS $$
    SELECT (window_epoch, started_at) < (
        SELECT epoch, window_start FROM meter_windows WHERE meter_id = windows_of
         ORDER BY epoch DESC, window_start DESC OFFSET kept - 1 LIMIT 1)
$$;
