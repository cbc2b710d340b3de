-- The words every table shares: ids, names, reset durations and time zones, checked where they are stored,
-- so that an edit with psql is held to the same rules as one over HTTP.

CREATE DOMAIN entity_id AS text
    CHECK (char_length(VALUE) BETWEEN 1 AND 255 AND VALUE !~ '[[:cntrl:]]');

CREATE DOMAIN entity_name AS text
    CHECK (char_length(VALUE) BETWEEN 1 AND 255 AND VALUE !~ '[[:cntrl:]]');

-- A point in time every reader of a row can hold: neither infinite nor out of a calendar's range.
CREATE DOMAIN instant AS timestamptz
    CHECK (VALUE BETWEEN '1970-01-02 00:00Z' AND '9000-01-01 00:00Z');

-- A plain list: no NULL in it, and no list of lists.
CREATE FUNCTION is_list(items text[]) RETURNS boolean
    LANGUAGE sql IMMUTABLE AS $$
    SELECT array_position(items, NULL) IS NULL AND coalesce(array_ndims(items), 1) = 1
$$;

-- Length of a reset duration in microseconds; NULL when it is malformed or not within 1 second … 10 years.
-- Grammar: a Go duration (`30s`, `1h30m`, `1.5h`), or an integer and d (24 h), w (7 d), M (30 d), Q (90 d), Y (365 d),
-- or daily, weekly, monthly, quarterly, yearly. `m` is minute, `M` is month.
-- Its twin is service/domain/durations.py; a test holds the two together.
CREATE FUNCTION reset_duration_us(reset_duration text) RETURNS bigint
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    text_form CONSTANT text := CASE reset_duration
        WHEN 'daily' THEN '1d' WHEN 'weekly' THEN '1w' WHEN 'monthly' THEN '1M'
        WHEN 'quarterly' THEN '1Q' WHEN 'yearly' THEN '1Y' ELSE reset_duration END;
    total_us numeric;
BEGIN
    IF text_form ~ '^[0-9]{1,9}[smhdwMQY]$' THEN
        total_us := left(text_form, -1)::numeric * CASE right(text_form, 1)
            WHEN 's' THEN 1000000 WHEN 'm' THEN 60000000 WHEN 'h' THEN 3600000000
            WHEN 'd' THEN 86400000000 WHEN 'w' THEN 604800000000 WHEN 'M' THEN 2592000000000
            WHEN 'Q' THEN 7776000000000 ELSE 31536000000000 END;
    ELSIF char_length(text_form) <= 50
        AND text_form ~ '^(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+$' THEN
        SELECT floor(sum(part[1]::numeric * CASE part[2]
                   WHEN 'h' THEN 3600000000 WHEN 'm' THEN 60000000 WHEN 's' THEN 1000000
                   WHEN 'ms' THEN 1000 WHEN 'ns' THEN 0.001 ELSE 1 END)) INTO total_us
          FROM regexp_matches(text_form, '([0-9.]+)([^0-9.]+)', 'g') AS part;
    END IF;
    RETURN CASE WHEN total_us BETWEEN 1000000 AND 315360000000000 THEN total_us::bigint END;
END $$;

CREATE DOMAIN reset_duration AS text
    CHECK (VALUE IS NULL OR reset_duration_us(VALUE) IS NOT NULL);

-- IANA names only: Postgres also takes abbreviations and POSIX rules, which other readers of the row do not know. It is
-- asked by trying, since the list of all zones (pg_timezone_names) takes tens of milliseconds to read.
CREATE FUNCTION is_time_zone(name text) RETURNS boolean
    LANGUAGE plpgsql STABLE STRICT AS $$
BEGIN
    IF name = 'UTC' THEN
        RETURN true;
    END IF;
    IF name !~ '^([A-Z][a-z]+(/[A-Z][A-Za-z_-]*[a-z]){1,2}|Etc/(UTC|GMT([+-][0-9]{1,2})?))$' THEN
        RETURN false;
    END IF;
    PERFORM now() AT TIME ZONE name;
    RETURN true;
EXCEPTION WHEN invalid_parameter_value THEN
    RETURN false;
END $$;

CREATE DOMAIN time_zone_name AS text
    CHECK (is_time_zone(VALUE));

-- Keeps updated_at honest for every writer, psql included.
CREATE FUNCTION touch_updated_at() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END $$;
