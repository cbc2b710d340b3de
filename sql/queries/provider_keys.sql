-- Provider keys.

-- name: list_provider_key_ids(provider, search, page_limit, page_offset)
-- The ids of one page of provider keys in the order of creation, each with how many match in all. NULL: not asked for.
-- Uses provider_keys_created_at or provider_keys_provider.
SELECT id, count(*) OVER () AS total_count
  FROM provider_keys
 WHERE (:provider::text IS NULL OR provider = :provider)
   AND (:search::text IS NULL OR strpos(lower(name), lower(:search)) > 0)
 ORDER BY created_at, id
 LIMIT :page_limit::bigint OFFSET :page_offset::bigint;

-- name: count_provider_keys(provider, search)$
-- How many match, for a page beyond the last.
-- Uses provider_keys_created_at or provider_keys_provider.
SELECT count(*) FROM provider_keys
 WHERE (:provider::text IS NULL OR provider = :provider)
   AND (:search::text IS NULL OR strpos(lower(name), lower(:search)) > 0);

-- name: list_providers()
-- Every provider there is a key of, by name.
-- Uses provider_keys_provider.
SELECT DISTINCT provider FROM provider_keys ORDER BY provider;

-- name: list_shown_provider_keys(provider_key_ids, providers)
-- Provider keys as they may be shown, without their secrets: those named, and all of the providers named.
-- Uses provider_keys_pkey or provider_keys_provider.
SELECT id, name, provider, value, weight, models, azure_key_config, vertex_key_config, bedrock_key_config, is_active,
       config_hash, created_at, updated_at
  FROM provider_keys
 WHERE id = ANY (:provider_key_ids::text[]) OR provider = ANY (:providers::text[])
 ORDER BY created_at, id;

-- name: lock_provider_key(provider_key_id)^
-- What a change of it starts from, locked until the change is done; its secrets are sealed.
-- Uses provider_keys_pkey.
SELECT name, provider, value, secrets_sealed, weight, models, azure_key_config, vertex_key_config, bedrock_key_config,
       is_active
  FROM provider_keys WHERE id = :provider_key_id::text FOR NO KEY UPDATE;

-- name: insert_provider_key(provider_key_id, name, provider, value, secrets_sealed, weight, models, azure_key_config, vertex_key_config, bedrock_key_config, is_active, created_at)!
-- What may be shown beside what is sealed.
-- Uses provider_keys_pkey and provider_keys_name_key.
INSERT INTO provider_keys (id, name, provider, value, secrets_sealed, weight, models, azure_key_config,
                           vertex_key_config, bedrock_key_config, is_active, created_at, updated_at)
VALUES (:provider_key_id::text, :name::text, :provider::text, :value::text, :secrets_sealed::bytea,
        :weight::double precision, :models::text[], :azure_key_config::jsonb, :vertex_key_config::jsonb,
        :bedrock_key_config::jsonb, :is_active::boolean, :created_at::timestamptz, :created_at);

-- name: update_provider_key(provider_key_id, name, provider, value, secrets_sealed, weight, models, azure_key_config, vertex_key_config, bedrock_key_config, is_active)!
-- Every virtual key that is pinned to it shows it as it is now (trigger).
-- Uses provider_keys_pkey.
UPDATE provider_keys
   SET name = :name::text, provider = :provider::text, value = :value::text, secrets_sealed = :secrets_sealed::bytea,
       weight = :weight::double precision, models = :models::text[], azure_key_config = :azure_key_config::jsonb,
       vertex_key_config = :vertex_key_config::jsonb, bedrock_key_config = :bedrock_key_config::jsonb,
       is_active = :is_active::boolean
 WHERE id = :provider_key_id::text;

-- name: delete_provider_key(provider_key_id)!
-- Virtual keys are no longer pinned to it (foreign key).
-- Uses provider_keys_pkey.
DELETE FROM provider_keys WHERE id = :provider_key_id::text;
