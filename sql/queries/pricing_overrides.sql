-- Pricing overrides.

-- name: list_pricing_override_ids(scope_kind, user_id, virtual_key_id, provider_id, provider_key_id, search, page_limit, page_offset)
-- The ids of one page of overrides in the order of creation, each with how many match in all. NULL: not asked for.
-- Uses pricing_overrides_created_at or pricing_overrides_virtual_key.
SELECT id, count(*) OVER () AS total_count
  FROM pricing_overrides
 WHERE (:scope_kind::text IS NULL OR scope_kind = :scope_kind)
   AND (:user_id::text IS NULL OR user_id = :user_id)
   AND (:virtual_key_id::text IS NULL OR virtual_key_id = :virtual_key_id)
   AND (:provider_id::text IS NULL OR provider_id = :provider_id)
   AND (:provider_key_id::text IS NULL OR provider_key_id = :provider_key_id)
   AND (:search::text IS NULL OR strpos(lower(name), lower(:search)) > 0 OR strpos(lower(pattern), lower(:search)) > 0)
 ORDER BY created_at, id
 LIMIT :page_limit::bigint OFFSET :page_offset::bigint;

-- name: count_pricing_overrides(scope_kind, user_id, virtual_key_id, provider_id, provider_key_id, search)$
-- How many match, for a page beyond the last.
-- Uses pricing_overrides_created_at or pricing_overrides_virtual_key.
SELECT count(*) FROM pricing_overrides
 WHERE (:scope_kind::text IS NULL OR scope_kind = :scope_kind)
   AND (:user_id::text IS NULL OR user_id = :user_id)
   AND (:virtual_key_id::text IS NULL OR virtual_key_id = :virtual_key_id)
   AND (:provider_id::text IS NULL OR provider_id = :provider_id)
   AND (:provider_key_id::text IS NULL OR provider_key_id = :provider_key_id)
   AND (:search::text IS NULL OR strpos(lower(name), lower(:search)) > 0 OR strpos(lower(pattern), lower(:search)) > 0);

-- name: list_shown_pricing_overrides(pricing_override_ids)
-- Overrides by their ids.
-- Uses pricing_overrides_pkey.
SELECT id, name, scope_kind, user_id, virtual_key_id, provider_id, provider_key_id, match_type, pattern, request_types,
       pricing_patch, config_hash, created_at, updated_at
  FROM pricing_overrides WHERE id = ANY (:pricing_override_ids::text[]);

-- name: lock_pricing_override(pricing_override_id)^
-- What a change of it starts from, locked until the change is done.
-- Uses pricing_overrides_pkey.
SELECT name, scope_kind, user_id, virtual_key_id, provider_id, provider_key_id, match_type, pattern, request_types,
       pricing_patch
  FROM pricing_overrides WHERE id = :pricing_override_id::text FOR NO KEY UPDATE;

-- name: insert_pricing_override(pricing_override_id, name, scope_kind, user_id, virtual_key_id, provider_id, provider_key_id, match_type, pattern, request_types, pricing_patch, created_at)!
-- An override of one kind of scope.
-- Uses pricing_overrides_pkey.
INSERT INTO pricing_overrides (id, name, scope_kind, user_id, virtual_key_id, provider_id, provider_key_id, match_type,
                               pattern, request_types, pricing_patch, created_at, updated_at)
VALUES (:pricing_override_id::text, :name::text, :scope_kind::text, :user_id::text, :virtual_key_id::text,
        :provider_id::text, :provider_key_id::text, :match_type::text, :pattern::text, :request_types::text[],
        :pricing_patch::jsonb, :created_at::timestamptz, :created_at);

-- name: update_pricing_override(pricing_override_id, name, scope_kind, user_id, virtual_key_id, provider_id, provider_key_id, match_type, pattern, request_types, pricing_patch)!
-- All of it, as it should be.
-- Uses pricing_overrides_pkey.
UPDATE pricing_overrides
   SET name = :name::text, scope_kind = :scope_kind::text, user_id = :user_id::text,
       virtual_key_id = :virtual_key_id::text, provider_id = :provider_id::text,
       provider_key_id = :provider_key_id::text, match_type = :match_type::text, pattern = :pattern::text,
       request_types = :request_types::text[], pricing_patch = :pricing_patch::jsonb
 WHERE id = :pricing_override_id::text;

-- name: delete_pricing_override(pricing_override_id)!
-- The prices it replaced hold again.
-- Uses pricing_overrides_pkey.
DELETE FROM pricing_overrides WHERE id = :pricing_override_id::text;
