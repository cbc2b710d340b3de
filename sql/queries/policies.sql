-- What a worker needs to know to decide about calls.

-- name: find_presented_virtual_keys(value_hashes, virtual_key_ids)
-- Virtual keys by what they are presented with (the value before the current one too) or by id: whose each is, and where
-- its counters are. One that was deleted is found as long as it is remembered.
-- Uses virtual_keys_value_hash_key, virtual_keys_previous_value, virtual_keys_pkey, teams_pkey, tenants_pkey,
-- deleted_virtual_keys_value and deleted_virtual_keys_pkey.
SELECT keys.id, keys.name, keys.value_hash, keys.previous_value_hash, keys.previous_value_expires_at,
       keys.is_active, keys.expires_at, keys.allow_all_providers, keys.max_parallel_requests,
       keys.team_id, coalesce(keys.customer_id, teams.customer_id) AS customer_id,
       keys.calendar_aligned, keys.time_zone, false AS deleted,
       tenants.id AS tenant_id, tenants.revision, tenants.layout
  FROM virtual_keys AS keys
  LEFT JOIN teams ON teams.id = keys.team_id
  JOIN tenants ON tenants.id = keys.tenant_id
 WHERE keys.value_hash = ANY (:value_hashes::bytea[]) OR keys.previous_value_hash = ANY (:value_hashes)
    OR keys.id = ANY (:virtual_key_ids::text[])
 UNION ALL
SELECT gone.id, gone.name, gone.value_hash, NULL, NULL, false, NULL, false, NULL,
       teams.id, coalesce(teams.customer_id, customers.id), false, 'UTC', true,
       tenants.id, tenants.revision, tenants.layout
  FROM deleted_virtual_keys AS gone
  LEFT JOIN teams ON teams.id = gone.team_id
  LEFT JOIN customers ON customers.id = gone.customer_id
  LEFT JOIN tenants ON tenants.id = coalesce('customer:' || coalesce(teams.customer_id, customers.id), 'team:' || teams.id)
 WHERE (gone.value_hash = ANY (:value_hashes) OR gone.id = ANY (:virtual_key_ids))
   AND NOT EXISTS (SELECT FROM virtual_keys AS keys
                    WHERE keys.id = gone.id OR keys.value_hash = gone.value_hash);

-- name: list_changed_tenants(look_back, page_limit)
-- Tenants whose configuration changed lately, and the revision they are at.
-- Uses tenants_changed_at.
SELECT id, revision FROM tenants WHERE changed_at > now() - :look_back::interval ORDER BY changed_at LIMIT :page_limit::bigint;

-- name: list_default_mcp_clients()
-- MCP clients that are open to every virtual key that says nothing of them, and their tools.
-- Uses mcp_clients_name_key (a small table, read whole).
SELECT name, tools_to_execute FROM mcp_clients WHERE allow_by_default ORDER BY name;

-- name: list_all_model_prices()
-- Every base price, for the workers' memory.
-- Uses model_prices_pkey.
SELECT provider, model, mode, input_nanousd, output_nanousd, cached_input_nanousd, cache_creation_nanousd,
       input_batches_nanousd, output_batches_nanousd
  FROM model_prices ORDER BY provider, model;

-- name: list_all_pricing_overrides()
-- Every pricing override, for the workers' memory.
-- Uses pricing_overrides_pkey.
SELECT id, scope_kind, match_type, pattern, user_id, virtual_key_id, provider_id, provider_key_id, request_types,
       pricing_patch AS patch
  FROM pricing_overrides ORDER BY id;
