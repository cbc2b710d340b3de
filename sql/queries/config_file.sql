-- Configuration as a file: what is read in pieces to be written to one, and what an import writes besides the changes
-- any client can make.

-- name: lock_config_import()$
-- One import at a time, until its transaction ends.
SELECT pg_advisory_xact_lock(hashtextextended('governance import', 0));

-- name: list_customer_ids_after(after_created_at, after_id, page_limit)
-- The ids of one piece in the order of creation, from the one after the last of the piece before.
-- Uses customers_created_at.
SELECT id, created_at FROM customers
 WHERE (created_at, id::text) > (:after_created_at::timestamptz, :after_id::text)
 ORDER BY created_at, id LIMIT :page_limit::bigint;

-- name: list_team_ids_after(after_created_at, after_id, page_limit)
-- As list_customer_ids_after.
-- Uses teams_created_at.
SELECT id, created_at FROM teams
 WHERE (created_at, id::text) > (:after_created_at::timestamptz, :after_id::text)
 ORDER BY created_at, id LIMIT :page_limit::bigint;

-- name: list_virtual_key_ids_after(after_created_at, after_id, page_limit)
-- As list_customer_ids_after.
-- Uses virtual_keys_created_at.
SELECT id, created_at FROM virtual_keys
 WHERE (created_at, id::text) > (:after_created_at::timestamptz, :after_id::text)
 ORDER BY created_at, id LIMIT :page_limit::bigint;

-- name: list_model_config_ids_after(after_created_at, after_id, page_limit)
-- As list_customer_ids_after; `provider` is set for those that are the limits of a whole provider.
-- Uses model_configs_created_at.
SELECT id, created_at, CASE WHEN virtual_key_id IS NULL AND model_name = '*' THEN provider::text END AS provider
  FROM model_configs
 WHERE (created_at, id::text) > (:after_created_at::timestamptz, :after_id::text)
 ORDER BY created_at, id LIMIT :page_limit::bigint;

-- name: list_provider_key_ids_after(after_created_at, after_id, page_limit)
-- As list_customer_ids_after, with the name and the provider of each.
-- Uses provider_keys_created_at.
SELECT id, created_at, name, provider FROM provider_keys
 WHERE (created_at, id::text) > (:after_created_at::timestamptz, :after_id::text)
 ORDER BY created_at, id LIMIT :page_limit::bigint;

-- name: list_mcp_client_ids_after(after_id, page_limit)
-- The ids of one piece of MCP clients, from the one after the last of the piece before.
-- Uses mcp_clients_pkey.
SELECT id, name FROM mcp_clients WHERE id > :after_id::bigint ORDER BY id LIMIT :page_limit::bigint;

-- name: list_pricing_override_ids_after(after_created_at, after_id, page_limit)
-- As list_customer_ids_after.
-- Uses pricing_overrides_created_at.
SELECT id, created_at FROM pricing_overrides
 WHERE (created_at, id::text) > (:after_created_at::timestamptz, :after_id::text)
 ORDER BY created_at, id LIMIT :page_limit::bigint;

-- name: list_sealed_provider_keys(provider_key_ids)
-- What of their secrets is sealed.
-- Uses provider_keys_pkey.
SELECT id, secrets_sealed AS sealed FROM provider_keys
 WHERE id = ANY (:provider_key_ids::text[]) AND secrets_sealed IS NOT NULL;

-- name: list_sealed_mcp_clients(mcp_client_ids)
-- What of their connections is sealed.
-- Uses mcp_clients_pkey.
SELECT id, connection_sealed AS sealed FROM mcp_clients
 WHERE id = ANY (:mcp_client_ids::bigint[]) AND connection_sealed IS NOT NULL;

-- name: find_provider_keys(names)
-- Provider keys by their names or their ids.
-- Uses provider_keys_pkey and provider_keys_name_key.
SELECT id, name FROM provider_keys WHERE id = ANY (:names::text[]) OR name = ANY (:names);

-- name: find_entities(customer_ids, team_ids, virtual_key_ids, provider_keys, mcp_client_names)
-- Which of those that are named there are, by kind; provider keys by name and by id.
-- Uses customers_pkey, teams_pkey, virtual_keys_pkey, provider_keys_pkey, provider_keys_name_key and mcp_clients_name_key.
SELECT 'customer' AS kind, id::text AS name FROM customers WHERE id = ANY (:customer_ids::text[])
UNION ALL
SELECT 'team', id FROM teams WHERE id = ANY (:team_ids::text[])
UNION ALL
SELECT 'virtual_key', id FROM virtual_keys WHERE id = ANY (:virtual_key_ids::text[])
UNION ALL
SELECT 'provider_key', id FROM provider_keys WHERE id = ANY (:provider_keys::text[])
UNION ALL
SELECT 'provider_key', name FROM provider_keys WHERE name = ANY (:provider_keys)
UNION ALL
SELECT 'mcp_client', name FROM mcp_clients WHERE name = ANY (:mcp_client_names::text[]);

-- name: list_limit_owners(budget_ids, rate_limit_ids)
-- Whose limits these are; a provider config's as its virtual key and provider, a whole provider's as `provider` alone.
-- Uses budgets_pkey, rate_limits_pkey, virtual_key_provider_configs_pkey and model_configs_pkey.
SELECT limits.kind, limits.id, limits.tenant_id, limits.customer_id, limits.team_id, limits.model_config_id,
       coalesce(limits.virtual_key_id, configs.virtual_key_id)::text AS virtual_key_id,
       coalesce(configs.provider, CASE WHEN models.virtual_key_id IS NULL AND models.model_name = '*'
                                       THEN models.provider END)::text AS provider
  FROM (SELECT 'budget' AS kind, id::text AS id, tenant_id, customer_id::text AS customer_id, team_id::text AS team_id,
               virtual_key_id, provider_config_id, model_config_id::text AS model_config_id
          FROM budgets WHERE id = ANY (:budget_ids::text[])
        UNION ALL
        SELECT 'rate_limit', id, tenant_id, customer_id, team_id, virtual_key_id, provider_config_id, model_config_id
          FROM rate_limits WHERE id = ANY (:rate_limit_ids::text[])) AS limits
  LEFT JOIN virtual_key_provider_configs AS configs ON configs.id = limits.provider_config_id
  LEFT JOIN model_configs AS models ON models.id = limits.model_config_id;

-- name: set_team_documents(team_id, profile, config, claims)!
-- What is free of a team.
-- Uses teams_pkey.
UPDATE teams SET profile = :profile::jsonb, config = :config::jsonb, claims = :claims::jsonb
 WHERE id = :team_id::text;

-- name: set_virtual_key_creator(virtual_key_id, created_by_user_id)!
-- A user of the gateway.
-- Uses virtual_keys_pkey.
UPDATE virtual_keys SET created_by_user_id = :created_by_user_id::text WHERE id = :virtual_key_id::text;

-- name: set_customer_hash(entity_id, config_hash)!
-- Of the entry of the file it is as.
-- Uses customers_pkey.
UPDATE customers SET config_hash = :config_hash::text WHERE id = :entity_id::text AND config_hash <> :config_hash;

-- name: set_team_hash(entity_id, config_hash)!
-- Of the entry of the file it is as.
-- Uses teams_pkey.
UPDATE teams SET config_hash = :config_hash::text WHERE id = :entity_id::text AND config_hash <> :config_hash;

-- name: set_virtual_key_hash(entity_id, config_hash)!
-- Of the entry of the file it is as.
-- Uses virtual_keys_pkey.
UPDATE virtual_keys SET config_hash = :config_hash::text WHERE id = :entity_id::text AND config_hash <> :config_hash;

-- name: set_model_config_hash(entity_id, config_hash)!
-- Of the entry of the file it is as.
-- Uses model_configs_pkey.
UPDATE model_configs SET config_hash = :config_hash::text WHERE id = :entity_id::text AND config_hash <> :config_hash;

-- name: set_provider_key_hash(entity_id, config_hash)!
-- Of the entry of the file it is as.
-- Uses provider_keys_name_key.
UPDATE provider_keys SET config_hash = :config_hash::text WHERE name = :entity_id::text AND config_hash <> :config_hash;

-- name: set_mcp_client_hash(entity_id, config_hash)!
-- Of the entry of the file it is as.
-- Uses mcp_clients_name_key.
UPDATE mcp_clients SET config_hash = :config_hash::text WHERE name = :entity_id::text AND config_hash <> :config_hash;

-- name: set_pricing_override_hash(entity_id, config_hash)!
-- Of the entry of the file it is as.
-- Uses pricing_overrides_pkey.
UPDATE pricing_overrides SET config_hash = :config_hash::text WHERE id = :entity_id::text AND config_hash <> :config_hash;

-- name: set_provider_hash(entity_id, config_hash)!
-- Of the model config that holds the limits of a whole provider.
-- Uses model_configs_virtual_key_id_model_name_provider_key.
UPDATE model_configs SET config_hash = :config_hash::text
 WHERE virtual_key_id IS NULL AND model_name = '*' AND provider = :entity_id::text AND config_hash <> :config_hash;
