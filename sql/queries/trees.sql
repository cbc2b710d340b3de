-- Configuration as it is shown, table by table: of whole tenants, or of the entities named by id (the arrays of the others
-- are empty then). Run together in one snapshot they show one state of the tree.

-- name: list_tenants(tenant_ids)
-- The revisions the rest of the snapshot stands at, and the layouts of the counters.
-- Uses tenants_pkey.
SELECT id, revision, layout FROM tenants WHERE id = ANY (:tenant_ids::text[]);

-- name: list_shown_customers(tenant_ids, customer_ids)
-- The customer at the root of each tenant, if it is one, and those named.
-- Uses customers_pkey: a tenant id is `customer:` and the customer's id.
SELECT id, tenant_id, name, calendar_aligned, time_zone, max_parallel_requests, config_hash, created_at, updated_at
  FROM customers
 WHERE id = ANY (ARRAY (SELECT substr(tenant_id, length('customer:') + 1) FROM unnest(:tenant_ids::text[]) AS tenant_id)
                 || :customer_ids::text[])
 ORDER BY created_at, id;

-- name: list_shown_teams(tenant_ids, team_ids)
-- Teams in the order they are shown in, with the name of their customer.
-- Uses teams_tenant or teams_pkey, and customers_pkey.
SELECT teams.id, teams.tenant_id, teams.customer_id, customers.name AS customer_name, teams.name,
       teams.calendar_aligned, teams.time_zone, teams.max_parallel_requests, teams.profile, teams.config, teams.claims,
       teams.config_hash, teams.created_at, teams.updated_at
  FROM teams LEFT JOIN customers ON customers.id = teams.customer_id
 WHERE teams.tenant_id = ANY (:tenant_ids::text[]) OR teams.id = ANY (:team_ids::text[])
 ORDER BY teams.created_at, teams.id;

-- name: list_shown_virtual_keys(tenant_ids, team_ids, virtual_key_ids)
-- Virtual keys with their sealed values and the names of their owners.
-- Uses virtual_keys_tenant, virtual_keys_team or virtual_keys_pkey, teams_pkey and customers_pkey.
SELECT keys.id, keys.tenant_id, keys.team_id, keys.customer_id, teams.name AS team_name,
       customers.name AS customer_name, keys.name, keys.description, keys.value_sealed, keys.is_active, keys.expires_at,
       keys.delete_after_expire, keys.disable_content_logging, keys.calendar_aligned, keys.time_zone,
       keys.allow_all_providers, keys.max_parallel_requests, keys.metadata, keys.created_by_user_id, keys.rotated_at,
       keys.previous_value_expires_at, keys.config_hash, keys.created_at, keys.updated_at
  FROM virtual_keys AS keys
  LEFT JOIN teams ON teams.id = keys.team_id
  LEFT JOIN customers ON customers.id = keys.customer_id
 WHERE keys.tenant_id = ANY (:tenant_ids::text[]) OR keys.team_id = ANY (:team_ids::text[])
    OR keys.id = ANY (:virtual_key_ids::text[])
 ORDER BY keys.created_at, keys.id;

-- name: list_shown_provider_configs(tenant_ids, virtual_key_ids)
-- What the virtual keys may use of each provider.
-- Uses virtual_key_provider_configs_tenant or virtual_key_provider_configs_virtual_key_id_provider_key.
SELECT id, tenant_id, virtual_key_id, provider, weight, allowed_models, blacklisted_models, allow_all_keys
  FROM virtual_key_provider_configs
 WHERE tenant_id = ANY (:tenant_ids::text[]) OR virtual_key_id = ANY (:virtual_key_ids::text[])
 ORDER BY id;

-- name: list_shown_pinned_provider_keys(tenant_ids, provider_config_ids)
-- The provider keys each provider config is pinned to, without their secrets.
-- Uses virtual_key_provider_config_keys_tenant or virtual_key_provider_config_keys_pkey, and provider_keys_pkey.
SELECT pinned.tenant_id, pinned.provider_config_id, provider_keys.id, provider_keys.name, provider_keys.provider,
       provider_keys.value, provider_keys.weight, provider_keys.models, provider_keys.azure_key_config,
       provider_keys.vertex_key_config, provider_keys.bedrock_key_config
  FROM virtual_key_provider_config_keys AS pinned
  JOIN provider_keys ON provider_keys.id = pinned.provider_key_id
 WHERE pinned.tenant_id = ANY (:tenant_ids::text[]) OR pinned.provider_config_id = ANY (:provider_config_ids::bigint[])
 ORDER BY pinned.provider_config_id, provider_keys.created_at, provider_keys.id;

-- name: list_shown_mcp_configs(tenant_ids, virtual_key_ids)
-- Which tools of which MCP clients the virtual keys may execute.
-- Uses virtual_key_mcp_configs_tenant or virtual_key_mcp_configs_virtual_key_id_mcp_client_id_key, and mcp_clients_pkey.
SELECT configs.id, configs.tenant_id, configs.virtual_key_id, configs.mcp_client_id,
       mcp_clients.name AS mcp_client_name, configs.tools_to_execute
  FROM virtual_key_mcp_configs AS configs
  JOIN mcp_clients ON mcp_clients.id = configs.mcp_client_id
 WHERE configs.tenant_id = ANY (:tenant_ids::text[]) OR configs.virtual_key_id = ANY (:virtual_key_ids::text[])
 ORDER BY configs.id;

-- name: list_shown_model_configs(tenant_ids, virtual_key_ids, model_config_ids)
-- Limits for one model and provider, of the virtual keys or of the whole deployment.
-- Uses model_configs_tenant, model_configs_virtual_key or model_configs_pkey, and virtual_keys_pkey.
SELECT configs.id, configs.tenant_id, configs.virtual_key_id, keys.name AS virtual_key_name, configs.model_name,
       configs.provider, configs.calendar_aligned, configs.time_zone, configs.config_hash, configs.created_at,
       configs.updated_at
  FROM model_configs AS configs
  LEFT JOIN virtual_keys AS keys ON keys.id = configs.virtual_key_id
 WHERE configs.tenant_id = ANY (:tenant_ids::text[]) OR configs.virtual_key_id = ANY (:virtual_key_ids::text[])
    OR configs.id = ANY (:model_config_ids::text[])
 ORDER BY configs.created_at, configs.id;

-- name: list_shown_budgets(tenant_ids, customer_ids, team_ids, virtual_key_ids, provider_config_ids, model_config_ids)
-- The budgets of every owner, each owner's in order.
-- Uses budgets_tenant, budgets_customer, budgets_team, budgets_virtual_key, budgets_provider_config and
-- budgets_model_config.
SELECT id, tenant_id, customer_id, team_id, virtual_key_id, provider_config_id, model_config_id, max_limit_nanousd,
       reset_duration, quarter_start_month, anchored_at, epoch, shadow, override_mode, override_amount_nanousd,
       override_cycles_total, override_anchor_reset, alert_thresholds, config_hash, created_at, updated_at
  FROM budgets
 WHERE tenant_id = ANY (:tenant_ids::text[]) OR customer_id = ANY (:customer_ids::text[])
    OR team_id = ANY (:team_ids::text[]) OR virtual_key_id = ANY (:virtual_key_ids::text[])
    OR provider_config_id = ANY (:provider_config_ids::bigint[]) OR model_config_id = ANY (:model_config_ids::text[])
 ORDER BY position, created_at, id;

-- name: list_shown_rate_limits(tenant_ids, customer_ids, team_ids, virtual_key_ids, provider_config_ids, model_config_ids)
-- The rate limits of every owner.
-- Uses rate_limits_tenant, rate_limits_customer_id_key, rate_limits_team_id_key, rate_limits_virtual_key_id_key,
-- rate_limits_provider_config_id_key and rate_limits_model_config.
SELECT id, tenant_id, customer_id, team_id, virtual_key_id, provider_config_id, model_config_id, metric,
       token_max_limit, token_reset_duration, token_epoch, request_max_limit, request_reset_duration, request_epoch,
       anchored_at, shadow, config_hash, created_at, updated_at
  FROM rate_limits
 WHERE tenant_id = ANY (:tenant_ids::text[]) OR customer_id = ANY (:customer_ids::text[])
    OR team_id = ANY (:team_ids::text[]) OR virtual_key_id = ANY (:virtual_key_ids::text[])
    OR provider_config_id = ANY (:provider_config_ids::bigint[]) OR model_config_id = ANY (:model_config_ids::text[])
 ORDER BY created_at, id;

-- name: count_places(tenant_ids)$
-- How many teams and virtual keys each tenant has, in the order asked for.
-- Uses teams_tenant and virtual_keys_tenant (index only).
SELECT array_agg((SELECT count(*) FROM teams WHERE tenant_id = asked.tenant_id)
                 + (SELECT count(*) FROM virtual_keys WHERE tenant_id = asked.tenant_id) ORDER BY asked.number)
  FROM unnest(:tenant_ids::text[]) WITH ORDINALITY AS asked (tenant_id, number);

-- name: load_outline(tenant_id)^
-- The ids of a customer's teams, each with its virtual keys or with none, and then of the customer's own virtual keys, in
-- the order they are shown in.
-- Uses teams_tenant, virtual_keys_tenant and virtual_keys_team; a tenant id is `customer:` and the customer's id.
SELECT substr(:tenant_id::text, length('customer:') + 1) AS customer_id,
       coalesce(array_agg(team_id ORDER BY team_created_at, team_id, key_created_at, key_id), '{}') AS team_ids,
       coalesce(array_agg(key_id ORDER BY team_created_at, team_id, key_created_at, key_id), '{}') AS virtual_key_ids
  FROM (SELECT teams.id::text AS team_id, teams.created_at AS team_created_at, keys.id::text AS key_id,
               keys.created_at AS key_created_at
          FROM teams LEFT JOIN virtual_keys AS keys ON keys.team_id = teams.id
         WHERE teams.tenant_id = :tenant_id
         UNION ALL
        SELECT NULL::text, NULL::timestamptz, keys.id::text, keys.created_at
          FROM virtual_keys AS keys
         WHERE keys.tenant_id = :tenant_id AND keys.team_id IS NULL) AS places;
