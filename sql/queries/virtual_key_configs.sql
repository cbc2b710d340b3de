-- What a virtual key may use: its provider configs, the provider keys they are pinned to, and its MCP configs.

-- name: list_stored_provider_configs(virtual_key_id)
-- What a change of them starts from.
-- Uses virtual_key_provider_configs_virtual_key_id_provider_key.
SELECT id, provider FROM virtual_key_provider_configs
 WHERE virtual_key_id = :virtual_key_id::text ORDER BY id FOR NO KEY UPDATE;

-- name: insert_provider_config(virtual_key_id, provider, weight, allowed_models, blacklisted_models, allow_all_keys)$
-- Answers its id.
-- Uses virtual_key_provider_configs_pkey.
INSERT INTO virtual_key_provider_configs (virtual_key_id, provider, weight, allowed_models, blacklisted_models,
                                          allow_all_keys)
VALUES (:virtual_key_id::text, :provider::text, :weight::double precision, :allowed_models::text[],
        :blacklisted_models::text[], :allow_all_keys::boolean)
RETURNING id;

-- name: update_provider_config(provider_config_id, provider, weight, allowed_models, blacklisted_models, allow_all_keys)!
-- One that is as it should be is not written.
-- Uses virtual_key_provider_configs_pkey.
UPDATE virtual_key_provider_configs
   SET provider = :provider::text, weight = :weight::double precision, allowed_models = :allowed_models::text[],
       blacklisted_models = :blacklisted_models::text[], allow_all_keys = :allow_all_keys::boolean
 WHERE id = :provider_config_id::bigint
   AND (provider::text, weight, allowed_models, blacklisted_models, allow_all_keys)
       IS DISTINCT FROM (:provider, :weight, :allowed_models, :blacklisted_models, :allow_all_keys);

-- name: delete_provider_configs(provider_config_ids)!
-- Their limits go with them.
-- Uses virtual_key_provider_configs_pkey.
DELETE FROM virtual_key_provider_configs WHERE id = ANY (:provider_config_ids::bigint[]);

-- name: unpin_provider_keys(provider_config_id, provider_key_ids)!
-- All but those named.
-- Uses virtual_key_provider_config_keys_pkey.
DELETE FROM virtual_key_provider_config_keys
 WHERE provider_config_id = :provider_config_id::bigint AND provider_key_id <> ALL (:provider_key_ids::text[]);

-- name: pin_provider_keys(provider_config_id, provider_key_ids)
-- Answers the ids of those that there are, pinned now or before.
-- Uses provider_keys_pkey and virtual_key_provider_config_keys_pkey.
WITH wanted AS (
    SELECT id FROM provider_keys WHERE id = ANY (:provider_key_ids::text[]) ORDER BY id
), pinned AS (
    INSERT INTO virtual_key_provider_config_keys (provider_config_id, provider_key_id)
    SELECT :provider_config_id::bigint, id FROM wanted
        ON CONFLICT DO NOTHING
)
SELECT id FROM wanted;

-- name: list_stored_mcp_configs(virtual_key_id)
-- What a change of them starts from.
-- Uses virtual_key_mcp_configs_virtual_key_id_mcp_client_id_key.
SELECT id, mcp_client_id FROM virtual_key_mcp_configs
 WHERE virtual_key_id = :virtual_key_id::text ORDER BY id FOR NO KEY UPDATE;

-- name: find_mcp_client_ids(names)
-- The ids of the MCP clients of these names, those that there are.
-- Uses mcp_clients_name_key.
SELECT id, name FROM mcp_clients WHERE name = ANY (:names::text[]);

-- name: insert_mcp_config(virtual_key_id, mcp_client_id, tools_to_execute)!
-- Uses virtual_key_mcp_configs_pkey, for a client the key had none of before.
INSERT INTO virtual_key_mcp_configs (virtual_key_id, mcp_client_id, tools_to_execute)
VALUES (:virtual_key_id::text, :mcp_client_id::bigint, :tools_to_execute::text[]);

-- name: update_mcp_config(mcp_config_id, tools_to_execute)!
-- One that is as it should be is not written.
-- Uses virtual_key_mcp_configs_pkey.
UPDATE virtual_key_mcp_configs SET tools_to_execute = :tools_to_execute::text[]
 WHERE id = :mcp_config_id::bigint AND tools_to_execute IS DISTINCT FROM :tools_to_execute;

-- name: delete_mcp_configs(mcp_config_ids)!
-- Uses virtual_key_mcp_configs_pkey, for those a change no longer lists.
DELETE FROM virtual_key_mcp_configs WHERE id = ANY (:mcp_config_ids::bigint[]);

-- name: list_model_budgets(virtual_key_id, provider)
-- The model configs of a virtual key for single models of a provider, as its provider config shows them.
-- Uses model_configs_virtual_key.
SELECT id, model_name FROM model_configs
 WHERE virtual_key_id = :virtual_key_id::text AND provider = :provider::text AND model_name <> '*'
 ORDER BY id FOR NO KEY UPDATE;

-- name: insert_model_budget(model_config_id, virtual_key_id, provider, model_name, created_at)!
-- It follows the calendar of its virtual key.
-- Uses model_configs_pkey and virtual_keys_pkey.
INSERT INTO model_configs (id, virtual_key_id, provider, model_name, calendar_aligned, time_zone, created_at, updated_at)
SELECT :model_config_id::text, id, :provider::text, :model_name::text, calendar_aligned, time_zone,
       :created_at::timestamptz, :created_at
  FROM virtual_keys WHERE id = :virtual_key_id::text;

-- name: delete_model_budgets(model_config_ids)!
-- Their limits go with them.
-- Uses model_configs_pkey.
DELETE FROM model_configs WHERE id = ANY (:model_config_ids::text[]);

-- name: align_model_configs(virtual_key_id)!
-- The model limits a virtual key shows in its provider configs follow its calendar; changed ones start new epochs
-- (trigger).
-- Uses model_configs_virtual_key, virtual_keys_pkey and virtual_key_provider_configs_virtual_key_id_provider_key.
UPDATE model_configs AS configs SET calendar_aligned = keys.calendar_aligned, time_zone = keys.time_zone
  FROM virtual_keys AS keys
 WHERE keys.id = :virtual_key_id::text AND configs.virtual_key_id = keys.id
   AND configs.model_name <> '*'
   AND EXISTS (SELECT FROM virtual_key_provider_configs AS shown
                WHERE shown.virtual_key_id = keys.id AND shown.provider = configs.provider)
   AND (configs.calendar_aligned, configs.time_zone) IS DISTINCT FROM (keys.calendar_aligned, keys.time_zone);

-- name: find_budget_of_virtual_key(virtual_key_id, budget_id)^
-- A budget of the key itself, of its provider configs or of its model configs, with the calendar it follows; locked.
-- Uses budgets_pkey, virtual_keys_pkey, virtual_key_provider_configs_pkey and model_configs_pkey.
SELECT budgets.id, budgets.max_limit_nanousd, budgets.reset_duration, budgets.quarter_start_month, budgets.anchored_at,
       keys.calendar_aligned, keys.time_zone
  FROM budgets
  LEFT JOIN virtual_key_provider_configs AS configs ON configs.id = budgets.provider_config_id
  LEFT JOIN model_configs AS models ON models.id = budgets.model_config_id
  JOIN virtual_keys AS keys
    ON keys.id IN (budgets.virtual_key_id, configs.virtual_key_id, models.virtual_key_id)
 WHERE budgets.id = :budget_id::text AND keys.id = :virtual_key_id::text
   FOR NO KEY UPDATE OF budgets;

-- name: set_budget_override(budget_id, override_mode, override_amount_nanousd, override_cycles_total, override_anchor_reset)!
-- Replaces any earlier one; mode NULL takes it away.
-- Uses budgets_pkey.
UPDATE budgets
   SET override_mode = :override_mode::text, override_amount_nanousd = :override_amount_nanousd::bigint,
       override_cycles_total = :override_cycles_total::integer, override_anchor_reset = :override_anchor_reset::timestamptz
 WHERE id = :budget_id::text;
