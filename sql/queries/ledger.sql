-- The usage ledger and the running totals of meters.

-- name: find_meter_windows(meter_ids, epochs, window_starts)
-- The totals of the named meters in the named windows; the arrays run in parallel. A window nobody used has no row.
-- Uses meter_windows_pkey.
SELECT wanted.meter_id, windows.used
  FROM unnest(:meter_ids::text[], :epochs::integer[], :window_starts::timestamptz[])
       AS wanted (meter_id, epoch, window_start)
  JOIN meter_windows AS windows
    ON windows.meter_id = wanted.meter_id
   AND windows.epoch = wanted.epoch
   AND windows.window_start = wanted.window_start;

-- name: find_totals(meter_ids, epochs, window_starts)
-- The totals of the named windows, once each, for the limits that are still there; the arrays run in parallel.
-- Uses meter_windows_pkey, budgets_pkey, rate_limits_pkey and tenants_pkey.
SELECT windows.meter_id, meters.tenant_id, meters.layout, windows.epoch, windows.window_start, windows.used
  FROM meter_windows AS windows
  JOIN LATERAL meter_tenant(windows.meter_id) AS meters ON true
 WHERE (windows.meter_id, windows.epoch, windows.window_start) IN (
       SELECT * FROM unnest(:meter_ids::text[], :epochs::integer[], :window_starts::timestamptz[]));

-- name: list_recent_meter_windows(look_back, meter_id, epoch, window_start, page_limit)
-- The totals that changed within look_back, page by page, for the reconciler: those after the given one.
-- Uses meter_windows_updated_at, budgets_pkey, rate_limits_pkey and tenants_pkey. The server's clock stamps and compares:
-- those of the replicas do not matter.
SELECT windows.meter_id, meters.tenant_id, meters.layout, windows.epoch, windows.window_start, windows.used
  FROM meter_windows AS windows
  JOIN LATERAL meter_tenant(windows.meter_id) AS meters ON true
 WHERE windows.updated_at >= now() - :look_back::interval
   AND (windows.meter_id, windows.epoch, windows.window_start) > (:meter_id::text, :epoch::integer, :window_start::timestamptz)
 ORDER BY windows.meter_id, windows.epoch, windows.window_start
 LIMIT :page_limit::bigint;

-- name: list_meter_windows(meter_id, epoch, window_start, page_limit)
-- All totals, page by page, for the reconciler after Redis became another: those after the given one.
-- Uses meter_windows_pkey, budgets_pkey, rate_limits_pkey and tenants_pkey.
SELECT windows.meter_id, meters.tenant_id, meters.layout, windows.epoch, windows.window_start, windows.used
  FROM meter_windows AS windows
  JOIN LATERAL meter_tenant(windows.meter_id) AS meters ON true
 WHERE (windows.meter_id, windows.epoch, windows.window_start) > (:meter_id::text, :epoch::integer, :window_start::timestamptz)
 ORDER BY windows.meter_id, windows.epoch, windows.window_start
 LIMIT :page_limit::bigint;

-- name: try_lock_reconciler(lock_id)$
-- True for one connection at a time, to the end of its transaction: one replica reconciles for all.
SELECT pg_try_advisory_xact_lock(:lock_id::bigint);

-- name: record_usage(request_ids, fingerprints, tenant_ids, virtual_key_ids, team_ids, customer_ids, providers, models, statuses, input_tokens, output_tokens, cached_input_tokens, costs_nanousd, priced, occurred_at, metadata, meter_ids, epochs, window_starts_us, charged_events, charged_windows, charged_amounts)^
-- Writes a batch of usage, all or nothing: events whose request id is new, what they add to their meters' windows, and
-- the sums of hours and days, and the alerts of thresholds the new totals reach. Answers the new request ids and the
-- absolute total of every window they touched, for the limits that are still there: one row of arrays, the latter in
-- parallel.
-- The first arrays have an entry for each event, the next for each window, once each; the last name both by their places
-- in those, from 1: places are compared and joined in a fraction of the time that ids are. Numbers come as texts of
-- arrays, which take the caller no time.
-- The rows of each table are locked in the order of its key, in one statement, so that concurrent batches cannot
-- deadlock.
-- Uses usage_requests_pkey, meter_windows_pkey, usage_hourly_once, usage_daily_once, usage_daily_by_owner_once,
-- alerts_once, budgets_pkey, rate_limits_pkey and tenants_pkey.
WITH fresh AS (
    INSERT INTO usage_requests (request_id, fingerprint)
    SELECT request_id, fingerprint
      FROM unnest(:request_ids::text[], :fingerprints::bytea[]) AS reported (request_id, fingerprint)
     ORDER BY request_id
        ON CONFLICT (request_id) DO NOTHING
 RETURNING request_id
), fresh_events AS (
    SELECT event.*
      FROM unnest(:request_ids::text[], :tenant_ids::text[], :virtual_key_ids::text[], :team_ids::text[],
                  :customer_ids::text[], :providers::text[], :models::text[], :statuses::text[],
                  :input_tokens::text::bigint[], :output_tokens::text::bigint[],
                  :cached_input_tokens::text::bigint[], :costs_nanousd::text::bigint[], :priced::boolean[],
                  :occurred_at::timestamptz[], :metadata::jsonb[])
           WITH ORDINALITY AS event (
           request_id, tenant_id, virtual_key_id, team_id, customer_id, provider, model, status, input_tokens,
           output_tokens, cached_input_tokens, cost_nanousd, priced, occurred_at, metadata, place)
      JOIN fresh USING (request_id)
), touched AS (
    SELECT meter_id, epoch, timestamptz 'epoch' + window_start_us * interval '1 microsecond' AS window_start, place
      FROM unnest(:meter_ids::text[], :epochs::text::integer[], :window_starts_us::text::bigint[])
           WITH ORDINALITY AS touched (meter_id, epoch, window_start_us, place)
), charges AS (
    SELECT charge.event, charge.window_place, charge.amount
      FROM unnest(:charged_events::text::bigint[], :charged_windows::text::bigint[], :charged_amounts::text::bigint[])
           AS charge (event, window_place, amount)
      JOIN fresh_events ON fresh_events.place = charge.event
), charges_by_event AS (
    SELECT event, array_agg(meter_id) AS meter_ids, array_agg(epoch) AS epochs,
           array_agg(window_start) AS window_starts, array_agg(amount) AS amounts
      FROM charges JOIN touched ON touched.place = charges.window_place
     GROUP BY event
), inserted_events AS (
    INSERT INTO usage_events (
           request_id, tenant_id, virtual_key_id, team_id, customer_id, provider, model, status, input_tokens,
           output_tokens, cached_input_tokens, cost_nanousd, priced, occurred_at, metadata,
           charge_meter_ids, charge_epochs, charge_window_starts, charge_amounts)
    SELECT request_id, tenant_id, virtual_key_id, team_id, customer_id, provider, model, status, input_tokens,
           output_tokens, cached_input_tokens, cost_nanousd, priced, occurred_at, metadata,
           coalesce(meter_ids, '{}'), coalesce(epochs, '{}'), coalesce(window_starts, '{}'), coalesce(amounts, '{}')
      FROM fresh_events LEFT JOIN charges_by_event ON charges_by_event.event = fresh_events.place
), hours AS (
    SELECT date_trunc('hour', occurred_at, 'UTC') AS hour, tenant_id, virtual_key_id, provider, model, team_id,
           customer_id, count(*) FILTER (WHERE status <> 'late') AS requests,
           count(*) FILTER (WHERE status IN ('error', 'cancelled')) AS errors,
           sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens,
           sum(cached_input_tokens) AS cached_input_tokens, sum(cost_nanousd) AS cost_nanousd
      FROM fresh_events
     GROUP BY 1, 2, 3, 4, 5, 6, 7
), hourly AS (
    INSERT INTO usage_hourly AS total (
           hour, tenant_id, virtual_key_id, provider, model, team_id, customer_id,
           requests, errors, input_tokens, output_tokens, cached_input_tokens, cost_nanousd)
    SELECT * FROM hours
     ORDER BY 1, 2, 3, 4, 5, 6, 7
        ON CONFLICT ON CONSTRAINT usage_hourly_once DO UPDATE
       SET requests = total.requests + excluded.requests,
           errors = total.errors + excluded.errors,
           input_tokens = total.input_tokens + excluded.input_tokens,
           output_tokens = total.output_tokens + excluded.output_tokens,
           cached_input_tokens = total.cached_input_tokens + excluded.cached_input_tokens,
           cost_nanousd = total.cost_nanousd + excluded.cost_nanousd
), daily AS (
    INSERT INTO usage_daily AS total (
           day, tenant_id, virtual_key_id, provider, model, team_id, customer_id,
           requests, errors, input_tokens, output_tokens, cached_input_tokens, cost_nanousd)
    SELECT (hour AT TIME ZONE 'UTC')::date, tenant_id, virtual_key_id, provider, model, team_id, customer_id,
           sum(requests), sum(errors), sum(input_tokens), sum(output_tokens), sum(cached_input_tokens),
           sum(cost_nanousd)
      FROM hours
     GROUP BY 1, 2, 3, 4, 5, 6, 7
     ORDER BY 1, 2, 3, 4, 5, 6, 7
        ON CONFLICT ON CONSTRAINT usage_daily_once DO UPDATE
       SET requests = total.requests + excluded.requests,
           errors = total.errors + excluded.errors,
           input_tokens = total.input_tokens + excluded.input_tokens,
           output_tokens = total.output_tokens + excluded.output_tokens,
           cached_input_tokens = total.cached_input_tokens + excluded.cached_input_tokens,
           cost_nanousd = total.cost_nanousd + excluded.cost_nanousd
), daily_by_owner AS (
    INSERT INTO usage_daily_by_owner AS total (
           day, tenant_id, provider, model, team_id, customer_id,
           requests, errors, input_tokens, output_tokens, cached_input_tokens, cost_nanousd)
    SELECT (hour AT TIME ZONE 'UTC')::date, tenant_id, provider, model, team_id, customer_id,
           sum(requests), sum(errors), sum(input_tokens), sum(output_tokens), sum(cached_input_tokens),
           sum(cost_nanousd)
      FROM hours
     GROUP BY 1, 2, 3, 4, 5, 6
     ORDER BY 1, 2, 3, 4, 5, 6
        ON CONFLICT ON CONSTRAINT usage_daily_by_owner_once DO UPDATE
       SET requests = total.requests + excluded.requests,
           errors = total.errors + excluded.errors,
           input_tokens = total.input_tokens + excluded.input_tokens,
           output_tokens = total.output_tokens + excluded.output_tokens,
           cached_input_tokens = total.cached_input_tokens + excluded.cached_input_tokens,
           cost_nanousd = total.cost_nanousd + excluded.cost_nanousd
), windows AS (
    INSERT INTO meter_windows AS total (meter_id, epoch, window_start, used)
    SELECT meter_id, epoch, window_start, amount
      FROM (SELECT window_place AS place, sum(amount) AS amount FROM charges GROUP BY window_place) AS added
      JOIN touched USING (place)
     ORDER BY meter_id, epoch, window_start
        ON CONFLICT (meter_id, epoch, window_start) DO UPDATE
       SET used = total.used + excluded.used, updated_at = now()
 RETURNING meter_id, epoch, window_start, used
), limited AS (
    -- Each total with the limit its meter's id names. Whether a threshold may be reached is asked roughly, and for more
    -- than are: an override only raises a limit. reached_thresholds tells exactly, at ten times the cost.
    SELECT windows.*, coalesce(budget.tenant_id, rate_limit.tenant_id) AS tenant_id,
           least(used::float8 * 101 / max_limit_nanousd, 1000)::integer >= ANY (alert_thresholds) AS may_alert
      FROM windows
      -- LIMIT keeps the primary keys in use: the plan is made for batches of any size, and would hash all limits.
      LEFT JOIN LATERAL (
           SELECT budgets.tenant_id, max_limit_nanousd, alert_thresholds
             FROM budgets
            WHERE budgets.id = CASE WHEN meter_id ^@ 'budget:' THEN substr(meter_id, 8) END
            LIMIT 1) AS budget ON true
      LEFT JOIN LATERAL (
           SELECT rate_limits.tenant_id
             FROM rate_limits
            WHERE rate_limits.id = CASE WHEN meter_id ^@ 'tokens:' THEN substr(meter_id, 8)
                                        WHEN meter_id ^@ 'requests:' THEN substr(meter_id, 10) END
            LIMIT 1) AS rate_limit ON true
), fired_alerts AS (
    -- Whoever locked the window's total first has committed: what it fired is found by the constraint, if not before.
    INSERT INTO alerts (
           budget_id, epoch, window_start, threshold_percent, tenant_id, owner_type, owner_id, owner_name, customer_id,
           team_id, virtual_key_id, max_limit_nanousd, used_nanousd)
    SELECT budget_id, epoch, window_start, threshold_percent, reached.tenant_id, owner_type, owner_id, owner_name,
           customer_id, team_id, virtual_key_id, max_limit_nanousd, used
      FROM limited
     CROSS JOIN LATERAL reached_thresholds(meter_id, epoch, window_start, used) AS reached
     WHERE may_alert
        ON CONFLICT ON CONSTRAINT alerts_once DO NOTHING
)
SELECT (SELECT coalesce(array_agg(request_id), '{}') FROM fresh) AS fresh_request_ids,
       coalesce(array_agg(meter_id), '{}') AS meter_ids, coalesce(array_agg(tenants.id), '{}') AS tenant_ids,
       coalesce(array_agg(tenants.layout), '{}') AS layouts, coalesce(array_agg(epoch), '{}') AS epochs,
       coalesce(array_agg(window_start), '{}') AS window_starts, coalesce(array_agg(used), '{}') AS used
  FROM limited JOIN tenants ON tenants.id = limited.tenant_id;

-- name: find_usage_fingerprints(request_ids)
-- What was reported under ids that are in the ledger already, and when.
-- Uses usage_requests_pkey.
SELECT request_id, fingerprint, recorded_at FROM usage_requests WHERE request_id = ANY (:request_ids::text[]);

-- name: find_booked_events(request_ids, recorded_ats)
-- Events by their ids and the times they were recorded at; the arrays run in parallel.
-- Uses usage_events_pkey.
SELECT event.request_id, event.input_tokens, event.output_tokens, event.cached_input_tokens, event.cost_nanousd,
       event.tenant_id, event.virtual_key_id, event.team_id, event.customer_id, event.provider, event.model,
       event.charge_meter_ids, event.charge_epochs, event.charge_window_starts, event.charge_amounts
  FROM unnest(:request_ids::text[], :recorded_ats::timestamptz[]) AS asked (request_id, recorded_at)
  JOIN usage_events AS event ON event.recorded_at = asked.recorded_at AND event.request_id = asked.request_id;
