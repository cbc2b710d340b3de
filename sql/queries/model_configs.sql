-- Model configs: limits for one model and provider, deployment-wide or of one virtual key. A provider's own limits are the
-- deployment-wide ones of every model (`*`) of it.

-- name: list_model_config_ids(search, scopes, scope_id, provider, page_limit, page_offset)
-- The ids of one page in the order of creation, each with how many match in all. NULL: not asked for.
-- Uses model_configs_created_at or model_configs_virtual_key.
SELECT id, count(*) OVER () AS total_count
  FROM model_configs
 WHERE (:search::text IS NULL OR strpos(lower(model_name), lower(:search)) > 0)
   AND (:scopes::text[] IS NULL
        OR CASE WHEN virtual_key_id IS NULL THEN 'global' ELSE 'virtual_key' END = ANY (:scopes))
   AND (:scope_id::text IS NULL OR virtual_key_id = :scope_id)
   AND (:provider::text IS NULL OR provider = :provider)
 ORDER BY created_at, id
 LIMIT :page_limit::bigint OFFSET :page_offset::bigint;

-- name: count_model_configs(search, scopes, scope_id, provider)$
-- How many match, for a page beyond the last.
-- Uses model_configs_created_at or model_configs_virtual_key.
SELECT count(*)
  FROM model_configs
 WHERE (:search::text IS NULL OR strpos(lower(model_name), lower(:search)) > 0)
   AND (:scopes::text[] IS NULL
        OR CASE WHEN virtual_key_id IS NULL THEN 'global' ELSE 'virtual_key' END = ANY (:scopes))
   AND (:scope_id::text IS NULL OR virtual_key_id = :scope_id)
   AND (:provider::text IS NULL OR provider = :provider);

-- name: lock_model_config(model_config_id)^
-- What a change of it starts from, locked until the change is done.
-- Uses model_configs_pkey.
SELECT id, virtual_key_id, model_name, provider, calendar_aligned, time_zone
  FROM model_configs WHERE id = :model_config_id::text FOR NO KEY UPDATE;

-- name: insert_model_config(model_config_id, virtual_key_id, model_name, provider, calendar_aligned, time_zone, created_at)!
-- Its tenant is the virtual key's, or the deployment's (trigger).
-- Uses model_configs_pkey and model_configs_virtual_key_id_model_name_provider_key.
INSERT INTO model_configs (id, virtual_key_id, model_name, provider, calendar_aligned, time_zone, created_at, updated_at)
VALUES (:model_config_id::text, :virtual_key_id::text, :model_name::text, :provider::text, :calendar_aligned::boolean,
        :time_zone::text, :created_at::timestamptz, :created_at);

-- name: update_model_config(model_config_id, model_name, provider, calendar_aligned, time_zone)!
-- A changed calendar starts new epochs of its limits (trigger).
-- Uses model_configs_pkey.
UPDATE model_configs
   SET model_name = :model_name::text, provider = :provider::text, calendar_aligned = :calendar_aligned::boolean,
       time_zone = :time_zone::text
 WHERE id = :model_config_id::text;

-- name: delete_model_config(model_config_id)!
-- Its limits go with it.
-- Uses model_configs_pkey.
DELETE FROM model_configs WHERE id = :model_config_id::text;

-- name: list_provider_names(after, page_limit)
-- The providers that have limits, those after one of them by name.
-- Uses model_configs_virtual_key_id_model_name_provider_key.
SELECT provider
  FROM model_configs
 WHERE virtual_key_id IS NULL AND model_name = '*' AND provider > :after::text
 ORDER BY provider
 LIMIT :page_limit::bigint;

-- name: list_provider_model_configs(providers)
-- The model configs that hold the limits of these providers.
-- Uses model_configs_virtual_key_id_model_name_provider_key.
SELECT id, provider
  FROM model_configs
 WHERE virtual_key_id IS NULL AND model_name = '*' AND provider = ANY (:providers::text[]);

-- name: lock_provider_model_config(provider)^
-- What a change of a provider's limits starts from, locked until the change is done.
-- Uses model_configs_virtual_key_id_model_name_provider_key.
SELECT id, virtual_key_id, model_name, provider, calendar_aligned, time_zone
  FROM model_configs
 WHERE virtual_key_id IS NULL AND model_name = '*' AND provider = :provider::text
   FOR NO KEY UPDATE;

-- name: insert_provider_model_config(model_config_id, provider, calendar_aligned, time_zone, created_at)$
-- Answers its id; NULL, after waiting for whoever is at it, when the provider has limits already.
-- Uses model_configs_virtual_key_id_model_name_provider_key.
INSERT INTO model_configs (id, model_name, provider, calendar_aligned, time_zone, created_at, updated_at)
VALUES (:model_config_id::text, '*', :provider::text, :calendar_aligned::boolean, :time_zone::text,
        :created_at::timestamptz, :created_at)
    ON CONFLICT (virtual_key_id, model_name, provider) DO NOTHING
RETURNING id;
