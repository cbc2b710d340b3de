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
    us_per_unit CONSTANT jsonb := '{
        "ns": 0.001, "us": 1, "µs": 1, "μs": 1, "ms": 1000, "s": 1000000, "m": 60000000, "h": 3600000000,
        "d": 86400000000, "w": 604800000000, "M": 2592000000000, "Q": 7776000000000, "Y": 31536000000000}';
    words CONSTANT jsonb := '{"daily": "1d", "weekly": "1w", "monthly": "1M", "quarterly": "1Q", "yearly": "1Y"}';
    text_form CONSTANT text := coalesce(words ->> reset_duration, reset_duration);
    total_us numeric;
BEGIN
    IF char_length(text_form) > 50 OR (
        text_form !~ '^[0-9]{1,9}[dwMQY]$'
        AND text_form !~ '^(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+$'
    ) THEN
        RETURN NULL;
    END IF;
    SELECT floor(sum(part[1]::numeric * (us_per_unit ->> part[2])::numeric)) INTO total_us
      FROM regexp_matches(text_form, '([0-9.]+)([^0-9.]+)', 'g') AS part;
    IF total_us < 1000000 OR total_us > 315360000000000 THEN
        RETURN NULL;
    END IF;
    RETURN total_us::bigint;
END $$;

CREATE DOMAIN reset_duration AS text
    CHECK (VALUE IS NULL OR reset_duration_us(VALUE) IS NOT NULL);

-- IANA names only: Postgres also takes abbreviations and POSIX rules, which other readers of the row do not know.
CREATE FUNCTION is_time_zone(name text) RETURNS boolean
    LANGUAGE sql STABLE STRICT AS $$
    SELECT name = 'UTC' OR (
        name ~ '^[A-Z][A-Za-z]+/[A-Za-z0-9_+/-]+$'
        AND EXISTS (SELECT FROM pg_timezone_names AS zone WHERE zone.name = is_time_zone.name))
$$;

CREATE DOMAIN time_zone_name AS text
    CHECK (is_time_zone(VALUE));

-- Keeps updated_at honest for every writer, psql included.
CREATE FUNCTION touch_updated_at() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END $$;
