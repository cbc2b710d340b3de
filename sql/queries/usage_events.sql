-- The ledger as it is read: events in the order they were recorded in.

-- name: list_usage_events(customer_id, team_id, virtual_key_id, provider, model, status, request_id, from_at, to_at, before_at, before_id, scan_limit, page_limit)
-- One page of events, newest first, before the given one. A filter that is NULL is none; from_at is in, to_at is not. The
-- inner query takes what one index has in order, scan_limit events at most; all filters are for these.
-- Uses usage_events_request, usage_events_virtual_key, usage_events_team, usage_events_tenant or usage_events_pkey.
SELECT id, request_id, tenant_id, customer_id, team_id, virtual_key_id, provider, model, status, input_tokens,
       output_tokens, cached_input_tokens, cost_nanousd, priced, occurred_at, recorded_at, metadata,
       charge_meter_ids, charge_epochs, charge_window_starts, charge_amounts
  FROM (SELECT *
          FROM usage_events
         WHERE (:request_id::text IS NULL OR request_id = :request_id)
           AND (:virtual_key_id::text IS NULL OR virtual_key_id = :virtual_key_id)
           AND (:team_id::text IS NULL OR :virtual_key_id IS NOT NULL OR team_id = :team_id)
           AND (:customer_id::text IS NULL OR coalesce(:virtual_key_id, :team_id) IS NOT NULL
                OR tenant_id = 'customer:' || :customer_id)
           AND (:from_at::timestamptz IS NULL OR recorded_at >= :from_at)
           AND (:to_at::timestamptz IS NULL OR recorded_at < :to_at)
           AND (:before_at::timestamptz IS NULL OR (recorded_at, id) < (:before_at, :before_id::bigint))
         ORDER BY recorded_at DESC, id DESC
         LIMIT :scan_limit::bigint) AS scanned
 WHERE (:team_id IS NULL OR team_id = :team_id)
   AND (:customer_id IS NULL OR customer_id = :customer_id)
   AND (:provider::text IS NULL OR provider = :provider)
   AND (:model::text IS NULL OR model = :model)
   AND (:status::text IS NULL OR status = :status)
 ORDER BY recorded_at DESC, id DESC
 LIMIT :page_limit::bigint;

-- name: find_last_scanned_event(customer_id, team_id, virtual_key_id, request_id, from_at, to_at, before_at, before_id, scan_limit)^
-- The last event list_usage_events looked at, when it looked at as many as it may.
-- Uses usage_events_request, usage_events_virtual_key, usage_events_team, usage_events_tenant or usage_events_pkey.
SELECT recorded_at, id
  FROM usage_events
 WHERE (:request_id::text IS NULL OR request_id = :request_id)
   AND (:virtual_key_id::text IS NULL OR virtual_key_id = :virtual_key_id)
   AND (:team_id::text IS NULL OR :virtual_key_id IS NOT NULL OR team_id = :team_id)
   AND (:customer_id::text IS NULL OR coalesce(:virtual_key_id, :team_id) IS NOT NULL
        OR tenant_id = 'customer:' || :customer_id)
   AND (:from_at::timestamptz IS NULL OR recorded_at >= :from_at)
   AND (:to_at::timestamptz IS NULL OR recorded_at < :to_at)
   AND (:before_at::timestamptz IS NULL OR (recorded_at, id) < (:before_at, :before_id::bigint))
 ORDER BY recorded_at DESC, id DESC
OFFSET :scan_limit::bigint - 1 LIMIT 1;
