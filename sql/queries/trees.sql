-- The configuration of whole tenants, table by table. Run together in one snapshot they show one state of the tree.

-- name: list_tenant_revisions(tenant_ids)
-- The revisions the rest of the snapshot stands at.
-- Uses tenants_pkey.
SELECT id, revision FROM tenants WHERE id = ANY (:tenant_ids::text[]);

-- name: list_tenant_customers(tenant_ids)
-- The customer at the root of each tenant, if it is one.
-- Uses customers_pkey: a tenant id is `customer:` and the customer's id.
SELECT id, tenant_id, name, calendar_aligned, time_zone, max_parallel_requests, config_hash, created_at, updated_at
  FROM customers
 WHERE id = ANY (SELECT substr(tenant_id, length('customer:') + 1) FROM unnest(:tenant_ids::text[]) AS tenant_id)
 ORDER BY created_at, id;

-- name: list_tenant_teams(tenant_ids)
-- The teams of the tenants, in the order they are shown in.
-- Uses teams_tenant.
SELECT id, tenant_id, customer_id, name, calendar_aligned, time_zone, max_parallel_requests,
       profile, config, claims, config_hash, created_at, updated_at
  FROM teams
 WHERE tenant_id = ANY (:tenant_ids::text[])
 ORDER BY created_at, id;

-- name: list_tenant_virtual_keys(tenant_ids)
-- The virtual keys of the tenants, with their sealed values.
-- Uses virtual_keys_tenant.
SELECT id, tenant_id, team_id, customer_id, name, description, value_sealed, is_active, expires_at,
       delete_after_expire, disable_content_logging, calendar_aligned, time_zone, allow_all_providers,
       max_parallel_requests, metadata, created_by_user_id, rotated_at, previous_value_expires_at,
       config_hash, created_at, updated_at
  FROM virtual_keys
 WHERE tenant_id = ANY (:tenant_ids::text[])
 ORDER BY created_at, id;

-- name: list_tenant_provider_configs(tenant_ids)
-- What the virtual keys may use of each provider.
-- Uses virtual_key_provider_configs_tenant.
SELECT id, tenant_id, virtual_key_id, provider, weight, allowed_models, blacklisted_models, allow_all_keys
  FROM virtual_key_provider_configs
 WHERE tenant_id = ANY (:tenant_ids::text[])
 ORDER BY id;

-- name: list_tenant_pinned_provider_keys(tenant_ids)
-- The provider keys each provider config is pinned to, without their secrets.
-- Uses virtual_key_provider_config_keys_tenant and provider_keys_pkey.
SELECT pinned.tenant_id, pinned.provider_config_id, provider_keys.id, provider_keys.name, provider_keys.provider,
       provider_keys.value, provider_keys.weight, provider_keys.models, provider_keys.azure_key_config,
       provider_keys.vertex_key_config, provider_keys.bedrock_key_config
  FROM virtual_key_provider_config_keys AS pinned
  JOIN provider_keys ON provider_keys.id = pinned.provider_key_id
 WHERE pinned.tenant_id = ANY (:tenant_ids::text[])
 ORDER BY pinned.provider_config_id, provider_keys.created_at, provider_keys.id;

-- name: list_tenant_mcp_configs(tenant_ids)
-- Which tools of which MCP clients the virtual keys may execute.
-- Uses virtual_key_mcp_configs_tenant and mcp_clients_pkey.
SELECT configs.id, configs.tenant_id, configs.virtual_key_id, configs.mcp_client_id,
       mcp_clients.name AS mcp_client_name, configs.tools_to_execute
  FROM virtual_key_mcp_configs AS configs
  JOIN mcp_clients ON mcp_clients.id = configs.mcp_client_id
 WHERE configs.tenant_id = ANY (:tenant_ids::text[])
 ORDER BY configs.id;

-- name: list_tenant_budgets(tenant_ids)
-- The budgets of every owner in the tenants, each owner's in order.
-- Uses budgets_tenant.
SELECT id, tenant_id, customer_id, team_id, virtual_key_id, provider_config_id, model_config_id, max_limit_nanousd,
       reset_duration, quarter_start_month, anchored_at, epoch, override_mode, override_amount_nanousd,
       override_cycles_total, override_anchor_reset, config_hash, created_at, updated_at
  FROM budgets
 WHERE tenant_id = ANY (:tenant_ids::text[])
 ORDER BY position, created_at, id;

-- name: list_tenant_rate_limits(tenant_ids)
-- The rate limits of every owner in the tenants.
-- Uses rate_limits_tenant.
SELECT id, tenant_id, customer_id, team_id, virtual_key_id, provider_config_id, model_config_id,
       token_max_limit, token_reset_duration, token_epoch, request_max_limit, request_reset_duration, request_epoch,
       anchored_at, config_hash, created_at, updated_at
  FROM rate_limits
 WHERE tenant_id = ANY (:tenant_ids::text[])
 ORDER BY created_at, id;
