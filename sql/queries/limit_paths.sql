-- The limits of one entity and of all it belongs to, and what each is made of.

-- name: find_virtual_key_path(virtual_key_id)^
-- Whose the virtual key is.
-- Uses virtual_keys_pkey and teams_pkey.
SELECT keys.id AS virtual_key_id, keys.team_id, coalesce(keys.customer_id, teams.customer_id) AS customer_id
  FROM virtual_keys AS keys LEFT JOIN teams ON teams.id = keys.team_id
 WHERE keys.id = :virtual_key_id::text;

-- name: find_team_path(team_id)^
-- Whose the team is.
-- Uses teams_pkey.
SELECT id AS team_id, customer_id FROM teams WHERE id = :team_id::text;

-- name: find_customer_path(customer_id)^
-- Whether there is such a customer.
-- Uses customers_pkey.
SELECT id AS customer_id FROM customers WHERE id = :customer_id::text;

-- name: list_shared_model_config_ids(virtual_key_id)
-- The model configs of the whole deployment that hold for what the virtual key may call.
-- Uses model_configs_tenant, virtual_keys_pkey and virtual_key_provider_configs_virtual_key_id_provider_key.
SELECT configs.id
  FROM model_configs AS configs JOIN virtual_keys AS keys ON keys.id = :virtual_key_id::text
 WHERE configs.tenant_id = 'global'
   AND (configs.provider IS NULL OR keys.allow_all_providers
        OR EXISTS (SELECT FROM virtual_key_provider_configs AS own
                    WHERE own.virtual_key_id = keys.id AND own.provider = configs.provider));

-- name: list_window_totals(meter_ids, epochs, window_starts)
-- The totals of the named meters in the named windows (the arrays run in parallel), and how much of each was carried over
-- from before the period was changed.
-- Uses meter_windows_pkey.
SELECT wanted.meter_id, windows.used, windows.carried
  FROM unnest(:meter_ids::text[], :epochs::integer[], :window_starts::timestamptz[])
       AS wanted (meter_id, epoch, window_start)
  JOIN meter_windows AS windows
    ON windows.meter_id = wanted.meter_id
   AND windows.epoch = wanted.epoch
   AND windows.window_start = wanted.window_start;

-- name: list_past_windows(meter_ids, epochs, window_starts, page_limit)
-- The last totals of each meter before the named window of it, latest first, those of earlier epochs too.
-- Uses meter_windows_pkey.
SELECT windows.meter_id, windows.epoch, windows.window_start, windows.used, windows.carried
  FROM unnest(:meter_ids::text[], :epochs::integer[], :window_starts::timestamptz[])
       AS current (meter_id, epoch, window_start)
 CROSS JOIN LATERAL (
       SELECT * FROM meter_windows AS past
        WHERE past.meter_id = current.meter_id
          AND (past.epoch, past.window_start) < (current.epoch, current.window_start)
        ORDER BY past.epoch DESC, past.window_start DESC
        LIMIT :page_limit::bigint) AS windows
 ORDER BY windows.meter_id, windows.epoch DESC, windows.window_start DESC;

-- name: sum_charges(customer_id, team_id, virtual_key_id, from_at, before_at, before_id, scan_limit, meter_ids, epochs, window_starts)
-- What the latest events of one owner, or of all, were charged with: at most scan_limit of them, recorded from from_at on
-- and before the given one. Sums of the named meters in the named windows; the arrays run in parallel.
-- Uses usage_events_virtual_key, usage_events_team, usage_events_tenant or usage_events_pkey.
SELECT charge.meter_id, count(*) AS events, sum(charge.amount) AS amount
  FROM (SELECT charge_meter_ids, charge_epochs, charge_window_starts, charge_amounts
          FROM usage_events
         WHERE (:virtual_key_id::text IS NULL OR virtual_key_id = :virtual_key_id)
           AND (:team_id::text IS NULL OR team_id = :team_id)
           AND (:customer_id::text IS NULL OR tenant_id = 'customer:' || :customer_id)
           AND recorded_at >= :from_at::timestamptz
           AND (:before_at::timestamptz IS NULL OR (recorded_at, id) < (:before_at, :before_id::bigint))
         ORDER BY recorded_at DESC, id DESC
         LIMIT :scan_limit::bigint) AS events
 CROSS JOIN LATERAL unnest(charge_meter_ids, charge_epochs, charge_window_starts, charge_amounts)
            AS charge (meter_id, epoch, window_start, amount)
  JOIN unnest(:meter_ids::text[], :epochs::integer[], :window_starts::timestamptz[])
       AS wanted (meter_id, epoch, window_start)
    ON (wanted.meter_id, wanted.epoch, wanted.window_start) = (charge.meter_id, charge.epoch, charge.window_start)
 GROUP BY charge.meter_id;

-- name: find_ledger_start()^
-- The oldest event that is kept, and the oldest day anything is known of.
-- Uses usage_events_pkey and usage_daily_by_owner_once.
SELECT recorded_at, id, (SELECT min(day) FROM usage_daily_by_owner) AS first_day
  FROM usage_events ORDER BY recorded_at, id LIMIT 1;
