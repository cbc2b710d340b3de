-- What changes over HTTP need: first answers kept for retries, and indexes for the lists they are found by.

-- The first answer to a POST that came with an Idempotency-Key, written in the transaction of its change: a retry after a
-- lost answer gets it again. Sealed, because the answer to a creation or a rotation holds the virtual key's value.
CREATE TABLE idempotency_keys (
    actor text NOT NULL,
    key text NOT NULL CHECK (char_length(key) BETWEEN 1 AND 255),
    fingerprint bytea NOT NULL,
    status smallint NOT NULL,
    answer_sealed bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (actor, key)
);
CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at);

CREATE INDEX teams_created_at ON teams (created_at, id);
CREATE INDEX model_configs_virtual_key ON model_configs (virtual_key_id) WHERE virtual_key_id IS NOT NULL;
CREATE INDEX model_configs_created_at ON model_configs (created_at, id);
CREATE INDEX virtual_keys_metadata ON virtual_keys USING gin (metadata jsonb_path_ops);
CREATE INDEX audit_log_actor ON audit_log (actor, id);
CREATE INDEX usage_daily_virtual_key ON usage_daily (virtual_key_id, day);

-- The start of the window that holds `instant`. Its twin is service/domain/windows.py; a test holds the two together.
CREATE FUNCTION window_start(
    reset_duration text, anchored_at timestamptz, calendar_aligned boolean, time_zone text, quarter_start_month integer,
    instant timestamptz
) RETURNS timestamptz
    LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE
    unit CONSTANT text := CASE reset_duration
        WHEN 'daily' THEN 'd' WHEN 'weekly' THEN 'w' WHEN 'monthly' THEN 'M' WHEN 'quarterly' THEN 'Q'
        WHEN 'yearly' THEN 'Y' ELSE substring(reset_duration FROM '^[0-9]{1,9}([dwMQY])$') END;
    day CONSTANT timestamp := date_trunc('day', instant AT TIME ZONE time_zone);
    length_us CONSTANT bigint := reset_duration_us(reset_duration);
    elapsed_us bigint;
BEGIN
    IF calendar_aligned AND unit IS NOT NULL THEN
        RETURN CASE unit
            WHEN 'd' THEN day
            WHEN 'w' THEN date_trunc('week', day)
            WHEN 'M' THEN date_trunc('month', day)
            WHEN 'Y' THEN date_trunc('year', day)
            ELSE date_trunc('month', day) - make_interval(
                months => mod(mod(extract(month FROM day)::integer - coalesce(quarter_start_month, 1), 3) + 3, 3))
            END AT TIME ZONE time_zone;
    END IF;
    elapsed_us := (extract(epoch FROM instant - anchored_at) * 1000000)::bigint;
    RETURN anchored_at + make_interval(
        secs => (elapsed_us - mod(mod(elapsed_us, length_us) + length_us, length_us)) / 1000000.0);
END $$;
