-- What reads of usage are made from: sums per hour beside those per day, indexes to find the usage of one owner by, and
-- what was carried into a window told apart from what was charged to it.

-- As usage_daily, per hour of occurred_at: reports by the hour, and the hours at the edges of those by the day.
CREATE TABLE usage_hourly (
    hour timestamptz NOT NULL,
    tenant_id text NOT NULL,
    virtual_key_id text NOT NULL,
    provider text NOT NULL,
    model text NOT NULL,
    team_id text,
    customer_id text,
    requests bigint NOT NULL DEFAULT 0,
    errors bigint NOT NULL DEFAULT 0,
    input_tokens bigint NOT NULL DEFAULT 0,
    output_tokens bigint NOT NULL DEFAULT 0,
    cached_input_tokens bigint NOT NULL DEFAULT 0,
    cost_nanousd bigint NOT NULL DEFAULT 0,
    CONSTRAINT usage_hourly_once
        UNIQUE NULLS NOT DISTINCT (hour, tenant_id, virtual_key_id, provider, model, team_id, customer_id)
-- Rows are added to for an hour: with room in their pages none of their indexes is touched for it.
) WITH (fillfactor = 80);

-- Nothing is booked between the sum and its commit: none is missed, none is counted twice.
LOCK TABLE usage_events IN SHARE ROW EXCLUSIVE MODE;
INSERT INTO usage_hourly (
       hour, tenant_id, virtual_key_id, provider, model, team_id, customer_id,
       requests, errors, input_tokens, output_tokens, cached_input_tokens, cost_nanousd)
SELECT date_trunc('hour', occurred_at, 'UTC'), tenant_id, virtual_key_id, provider, model, team_id, customer_id,
       count(*), count(*) FILTER (WHERE status IN ('error', 'cancelled')), sum(input_tokens), sum(output_tokens),
       sum(cached_input_tokens), sum(cost_nanousd)
  FROM usage_events
 GROUP BY 1, 2, 3, 4, 5, 6, 7;

CREATE INDEX usage_hourly_virtual_key ON usage_hourly (virtual_key_id, hour);
CREATE INDEX usage_hourly_team ON usage_hourly (team_id, hour) WHERE team_id IS NOT NULL;
CREATE INDEX usage_hourly_customer ON usage_hourly (customer_id, hour) WHERE customer_id IS NOT NULL;

-- As usage_daily without the virtual keys, of which there may be so many that a day has few events of each.
CREATE TABLE usage_daily_by_owner (
    day date NOT NULL,
    tenant_id text NOT NULL,
    provider text NOT NULL,
    model text NOT NULL,
    team_id text,
    customer_id text,
    requests bigint NOT NULL DEFAULT 0,
    errors bigint NOT NULL DEFAULT 0,
    input_tokens bigint NOT NULL DEFAULT 0,
    output_tokens bigint NOT NULL DEFAULT 0,
    cached_input_tokens bigint NOT NULL DEFAULT 0,
    cost_nanousd bigint NOT NULL DEFAULT 0,
    CONSTRAINT usage_daily_by_owner_once
        UNIQUE NULLS NOT DISTINCT (day, tenant_id, provider, model, team_id, customer_id)
) WITH (fillfactor = 80);

INSERT INTO usage_daily_by_owner (
       day, tenant_id, provider, model, team_id, customer_id,
       requests, errors, input_tokens, output_tokens, cached_input_tokens, cost_nanousd)
SELECT day, tenant_id, provider, model, team_id, customer_id, sum(requests), sum(errors), sum(input_tokens),
       sum(output_tokens), sum(cached_input_tokens), sum(cost_nanousd)
  FROM usage_daily
 GROUP BY 1, 2, 3, 4, 5, 6;

CREATE INDEX usage_daily_by_owner_team ON usage_daily_by_owner (team_id, day) WHERE team_id IS NOT NULL;
CREATE INDEX usage_daily_by_owner_customer ON usage_daily_by_owner (customer_id, day) WHERE customer_id IS NOT NULL;
CREATE INDEX usage_daily_team ON usage_daily (team_id, day) WHERE team_id IS NOT NULL;
CREATE INDEX usage_daily_customer ON usage_daily (customer_id, day) WHERE customer_id IS NOT NULL;

-- All sums of the hours from `from_hour` to `to_hour`: the days from `from_midnight` to `to_midnight` by the day, what is
-- before and after them by the hour. Without `of_keys` virtual_key_id is NULL for whole days. To be inlined.
CREATE FUNCTION usage_sums(
    from_hour timestamptz, from_midnight timestamptz, to_midnight timestamptz, to_hour timestamptz, of_keys boolean
) RETURNS TABLE (
    customer_id text, team_id text, virtual_key_id text, provider text, model text, requests bigint, errors bigint,
    input_tokens bigint, output_tokens bigint, cached_input_tokens bigint, cost_nanousd bigint
)
    LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT sums.customer_id, sums.team_id, sums.virtual_key_id, sums.provider, sums.model, sums.requests, sums.errors,
           sums.input_tokens, sums.output_tokens, sums.cached_input_tokens, sums.cost_nanousd
      FROM usage_daily AS sums
     WHERE of_keys
       AND sums.day >= (from_midnight AT TIME ZONE 'UTC')::date AND sums.day < (to_midnight AT TIME ZONE 'UTC')::date
     UNION ALL
    SELECT sums.customer_id, sums.team_id, NULL, sums.provider, sums.model, sums.requests, sums.errors,
           sums.input_tokens, sums.output_tokens, sums.cached_input_tokens, sums.cost_nanousd
      FROM usage_daily_by_owner AS sums
     WHERE NOT of_keys
       AND sums.day >= (from_midnight AT TIME ZONE 'UTC')::date AND sums.day < (to_midnight AT TIME ZONE 'UTC')::date
     UNION ALL
    SELECT sums.customer_id, sums.team_id, sums.virtual_key_id, sums.provider, sums.model, sums.requests, sums.errors,
           sums.input_tokens, sums.output_tokens, sums.cached_input_tokens, sums.cost_nanousd
      FROM usage_hourly AS sums
     WHERE sums.hour >= from_hour AND sums.hour < from_midnight
     UNION ALL
    SELECT sums.customer_id, sums.team_id, sums.virtual_key_id, sums.provider, sums.model, sums.requests, sums.errors,
           sums.input_tokens, sums.output_tokens, sums.cached_input_tokens, sums.cost_nanousd
      FROM usage_hourly AS sums
     WHERE sums.hour >= to_midnight AND sums.hour < to_hour
$$;

-- The ledger in its own order for each of who may own usage; a customer's is that of its tenant.
CREATE INDEX usage_events_virtual_key ON usage_events (virtual_key_id, recorded_at, id);
CREATE INDEX usage_events_team ON usage_events (team_id, recorded_at, id) WHERE team_id IS NOT NULL;
CREATE INDEX usage_events_request ON usage_events USING hash (request_id);

-- How much of `used` no event of the window was charged with: it came along when the meter's period was changed.
ALTER TABLE meter_windows ADD COLUMN carried bigint NOT NULL DEFAULT 0 CHECK (carried >= 0);

UPDATE meter_windows AS totals
   SET carried = windows.used - coalesce(charged.amount, 0)
  FROM meter_windows AS windows
  LEFT JOIN (SELECT meter_id, epoch, window_start, sum(amount) AS amount
               FROM usage_events,
                    unnest(charge_meter_ids, charge_epochs, charge_window_starts, charge_amounts)
                    AS charge (meter_id, epoch, window_start, amount)
              GROUP BY 1, 2, 3) AS charged USING (meter_id, epoch, window_start)
 WHERE (totals.meter_id, totals.epoch, totals.window_start)
       = (windows.meter_id, windows.epoch, windows.window_start)
   AND windows.used > coalesce(charged.amount, 0);
