-- Alerts: each budget tells when its use reaches some percents of its limit, once per window and percent. The outbox is
-- written by the statement that books the usage (queries/ledger.sql): no usage without its alert, no alert without it.

CREATE FUNCTION is_alert_thresholds(percents integer[]) RETURNS boolean
    LANGUAGE sql IMMUTABLE AS $$
    SELECT cardinality(percents) <= 10 AND coalesce(array_ndims(percents), 1) = 1
       AND (SELECT count(*) = count(DISTINCT percent) AND coalesce(bool_and(percent BETWEEN 1 AND 1000), true)
              FROM unnest(percents) AS percent)
$$;

-- The default is also that of service/domain/inputs/limits.py.
ALTER TABLE budgets ADD COLUMN alert_thresholds integer[] NOT NULL DEFAULT '{50,80,100}'
    CONSTRAINT budgets_alert_thresholds CHECK (is_alert_thresholds(alert_thresholds));

-- An alert as it fired: a later edit, move or removal of the budget or its owners changes nothing here, so it references
-- nothing. customer_id, team_id and virtual_key_id are all that the owner was, or belonged to, then.
CREATE TABLE alerts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    budget_id text NOT NULL,
    epoch integer NOT NULL,
    window_start timestamptz NOT NULL,
    threshold_percent integer NOT NULL,
    tenant_id text NOT NULL,
    owner_type text NOT NULL,
    owner_id text NOT NULL,
    owner_name text NOT NULL,
    customer_id text,
    team_id text,
    virtual_key_id text,
    -- With the override that was active.
    max_limit_nanousd bigint NOT NULL,
    used_nanousd bigint NOT NULL,
    fired_at timestamptz NOT NULL DEFAULT now(),
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'dead')),
    attempts integer NOT NULL DEFAULT 0,
    -- Of a pending alert: when it is tried next. While one replica tries, that is the end of its lease.
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    -- Digests of the webhooks that have it already: a repeated attempt leaves them out.
    delivered_to text[] NOT NULL DEFAULT '{}',
    last_error text NOT NULL DEFAULT '',
    delivered_at timestamptz,
    CONSTRAINT alerts_once UNIQUE (budget_id, epoch, window_start, threshold_percent)
);
CREATE INDEX alerts_due ON alerts (next_attempt_at, id) WHERE state = 'pending';
CREATE INDEX alerts_undelivered ON alerts (state, fired_at, id) WHERE state <> 'delivered';
CREATE INDEX alerts_fired_at ON alerts (fired_at, id);
CREATE INDEX alerts_customer ON alerts (customer_id, fired_at, id) WHERE customer_id IS NOT NULL;
CREATE INDEX alerts_team ON alerts (team_id, fired_at, id) WHERE team_id IS NOT NULL;
CREATE INDEX alerts_virtual_key ON alerts (virtual_key_id, fired_at, id) WHERE virtual_key_id IS NOT NULL;

-- How many windows have begun after the one that holds `earlier`, up to the one that holds `later`. Its twin is
-- windows_since in service/domain/windows.py; a test holds the two together.
CREATE FUNCTION windows_since(
    reset_duration text, anchored_at timestamptz, calendar_aligned boolean, time_zone text, quarter_start_month integer,
    earlier timestamptz, later timestamptz
) RETURNS bigint
    LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE
    unit CONSTANT text := CASE reset_duration
        WHEN 'daily' THEN 'd' WHEN 'weekly' THEN 'w' WHEN 'monthly' THEN 'M' WHEN 'quarterly' THEN 'Q'
        WHEN 'yearly' THEN 'Y' ELSE substring(reset_duration FROM '^[0-9]{1,9}([dwMQY])$') END;
    first_start CONSTANT timestamptz :=
        window_start(reset_duration, anchored_at, calendar_aligned, time_zone, quarter_start_month, earlier);
    last_start CONSTANT timestamptz :=
        window_start(reset_duration, anchored_at, calendar_aligned, time_zone, quarter_start_month, later);
    first_day CONSTANT date := (first_start AT TIME ZONE time_zone)::date;
    last_day CONSTANT date := (last_start AT TIME ZONE time_zone)::date;
BEGIN
    IF NOT calendar_aligned OR unit IS NULL THEN
        RETURN (extract(epoch FROM last_start - first_start) * 1000000)::bigint / reset_duration_us(reset_duration);
    END IF;
    IF unit IN ('d', 'w') THEN
        RETURN (last_day - first_day) / CASE unit WHEN 'w' THEN 7 ELSE 1 END;
    END IF;
    RETURN ((extract(year FROM last_day) - extract(year FROM first_day)) * 12
            + extract(month FROM last_day) - extract(month FROM first_day))::bigint
           / CASE unit WHEN 'M' THEN 1 WHEN 'Q' THEN 3 ELSE 12 END;
END $$;

-- What may be spent in the window that holds `at`: the limit, and an override that lasts then. It books usage, and so
-- never fails: a sum beyond 64 bits is the largest there is.
CREATE FUNCTION budget_limit_at(budget budgets, at timestamptz) RETURNS bigint
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    passed bigint := 0;
BEGIN
    IF budget.override_mode IS NULL THEN
        RETURN budget.max_limit_nanousd;
    END IF;
    IF budget.override_mode = 'cycles' THEN
        SELECT windows_since(budget.reset_duration, budget.anchored_at, calendar.aligned, calendar.zone,
                             budget.quarter_start_month, budget.override_anchor_reset, at)
          INTO passed
          FROM (SELECT coalesce(customers.calendar_aligned, teams.calendar_aligned, keys.calendar_aligned,
                                models.calendar_aligned) AS aligned,
                       coalesce(customers.time_zone, teams.time_zone, keys.time_zone, models.time_zone) AS zone
                  FROM (SELECT 1) AS always
                  LEFT JOIN customers ON customers.id = budget.customer_id
                  LEFT JOIN teams ON teams.id = budget.team_id
                  LEFT JOIN virtual_key_provider_configs AS configs ON configs.id = budget.provider_config_id
                  LEFT JOIN virtual_keys AS keys ON keys.id = coalesce(budget.virtual_key_id, configs.virtual_key_id)
                  LEFT JOIN model_configs AS models ON models.id = budget.model_config_id) AS calendar;
        IF passed >= budget.override_cycles_total THEN
            RETURN budget.max_limit_nanousd;
        END IF;
    END IF;
    RETURN least(budget.max_limit_nanousd::numeric + budget.override_amount_nanousd, 9223372036854775807);
END $$;

-- The thresholds a total has reached of which no alert tells yet, each with what an alert tells of the budget. Nothing for
-- other meters, for a budget that is gone, and for an epoch that has ended: its limit may have been another. By primary
-- keys, at any size of the tables; the owners are looked up only when there is something to tell.
CREATE FUNCTION reached_thresholds(
    of_meter_id text, of_epoch integer, of_window_start timestamptz, used bigint
) RETURNS TABLE (
    budget_id text, threshold_percent integer, max_limit_nanousd bigint, tenant_id text, owner_type text, owner_id text,
    owner_name text, customer_id text, team_id text, virtual_key_id text
)
    LANGUAGE plpgsql STABLE ROWS 1
    -- A plan made while the outbox was empty would read all of it once it is not.
    SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    budget budgets;
    limit_nanousd numeric;
    reached integer[];
BEGIN
    SELECT * INTO budget FROM budgets WHERE id = substr(of_meter_id, 8) AND epoch = of_epoch;
    IF NOT FOUND OR budget.alert_thresholds = '{}' THEN
        RETURN;
    END IF;
    limit_nanousd := budget_limit_at(budget, of_window_start);
    SELECT array_agg(percent) INTO reached
      FROM unnest(budget.alert_thresholds) AS percent
     WHERE used * 100.0 >= limit_nanousd * percent
       AND NOT EXISTS (SELECT FROM alerts
                        WHERE alerts.budget_id = budget.id AND alerts.epoch = of_epoch
                          AND alerts.window_start = of_window_start AND alerts.threshold_percent = percent);
    IF reached IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT budget.id::text, percent, limit_nanousd::bigint, budget.tenant_id,
           CASE WHEN budget.provider_config_id IS NOT NULL THEN 'provider_config'
                WHEN budget.model_config_id IS NOT NULL THEN 'model_config'
                WHEN budget.virtual_key_id IS NOT NULL THEN 'virtual_key'
                WHEN budget.team_id IS NOT NULL THEN 'team'
                ELSE 'customer' END,
           coalesce(configs.id::text, models.id, budget.virtual_key_id, budget.team_id, budget.customer_id)::text,
           coalesce(configs.provider, nullif(models.model_name, '*'), models.provider, models.model_name, keys.name,
                    teams.name, customers.name, '')::text,
           customers.id::text, teams.id::text, keys.id::text
      FROM unnest(reached) AS percent
      LEFT JOIN virtual_key_provider_configs AS configs ON configs.id = budget.provider_config_id
      LEFT JOIN model_configs AS models ON models.id = budget.model_config_id
      LEFT JOIN virtual_keys AS keys
             ON keys.id = coalesce(budget.virtual_key_id, configs.virtual_key_id, models.virtual_key_id)
      LEFT JOIN teams ON teams.id = coalesce(budget.team_id, keys.team_id)
      LEFT JOIN customers ON customers.id = coalesce(budget.customer_id, teams.customer_id, keys.customer_id);
END $$;
