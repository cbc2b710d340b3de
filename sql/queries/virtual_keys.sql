-- Virtual keys.

-- name: list_some_sealed_virtual_keys()
-- A few sealed values, to see whether the encryption key at hand is the one they were sealed with.
-- Uses virtual_keys_created_at (its last entries).
SELECT id, value_sealed FROM virtual_keys ORDER BY created_at DESC, id DESC LIMIT 20;

-- name: count_owned_virtual_keys(customer_ids, team_ids)
-- How many virtual keys each of these owners has itself.
-- Uses virtual_keys_customer and virtual_keys_team.
SELECT coalesce(customer_id, team_id) AS owner_id, count(*) AS virtual_key_count
  FROM virtual_keys
 WHERE customer_id = ANY (:customer_ids::text[]) OR team_id = ANY (:team_ids::text[])
 GROUP BY customer_id, team_id;

-- name: count_virtual_keys(customer_id, team_id, of_nobody, search, metadata)$
-- How many match. NULL: not asked for; several owners asked for mean any of them, of_nobody an owner no key has.
-- Uses virtual_keys_customer, virtual_keys_team, virtual_keys_metadata, teams_pkey and customers_pkey.
SELECT count(*)
  FROM virtual_keys AS keys
  LEFT JOIN teams ON teams.id = keys.team_id
  LEFT JOIN customers ON customers.id = keys.customer_id
 WHERE ((:customer_id::text IS NULL AND :team_id::text IS NULL AND NOT :of_nobody::boolean)
        OR keys.customer_id = :customer_id OR keys.team_id = :team_id)
   AND (:metadata::jsonb IS NULL OR keys.metadata @> :metadata)
   AND (:search::text IS NULL
        OR strpos(lower(concat_ws(E'\n', keys.name, teams.name, customers.name)), lower(:search)) > 0
        OR EXISTS (SELECT FROM jsonb_each_text(keys.metadata) WHERE strpos(lower(value), lower(:search)) > 0));

-- name: list_virtual_key_ids(customer_id, team_id, of_nobody, search, metadata, page_limit, page_offset)
-- The ids of one page in the order of creation; what matches is as in count_virtual_keys.
-- Uses virtual_keys_created_at (in order), virtual_keys_customer, virtual_keys_team or virtual_keys_metadata, teams_pkey
-- and customers_pkey.
SELECT keys.id
  FROM virtual_keys AS keys
  LEFT JOIN teams ON teams.id = keys.team_id
  LEFT JOIN customers ON customers.id = keys.customer_id
 WHERE ((:customer_id::text IS NULL AND :team_id::text IS NULL AND NOT :of_nobody::boolean)
        OR keys.customer_id = :customer_id OR keys.team_id = :team_id)
   AND (:metadata::jsonb IS NULL OR keys.metadata @> :metadata)
   AND (:search::text IS NULL
        OR strpos(lower(concat_ws(E'\n', keys.name, teams.name, customers.name)), lower(:search)) > 0
        OR EXISTS (SELECT FROM jsonb_each_text(keys.metadata) WHERE strpos(lower(value), lower(:search)) > 0))
 ORDER BY keys.created_at, keys.id
 LIMIT :page_limit::bigint OFFSET :page_offset::bigint;

-- name: list_sorted_virtual_key_ids(customer_id, team_id, of_nobody, search, metadata, sort_by, descending, as_of, page_limit, page_offset)
-- As list_virtual_key_ids, in another order: name, created_at, status (active, expired, inactive) or budget_spent (what
-- its own budgets have used in their current windows). Reads all that match.
-- Uses budgets_virtual_key, meter_windows_pkey, virtual_keys_customer, virtual_keys_team, teams_pkey and customers_pkey.
SELECT id
  FROM (SELECT keys.id, keys.created_at,
               CASE :sort_by::text
                   WHEN 'name' THEN lower(keys.name)
                   WHEN 'status' THEN CASE WHEN NOT keys.is_active THEN 'inactive'
                                           WHEN keys.expires_at <= :as_of::timestamptz THEN 'expired'
                                           ELSE 'active' END
               END AS text_order,
               CASE :sort_by
                   WHEN 'created_at' THEN extract(epoch FROM keys.created_at)
                   WHEN 'budget_spent' THEN (
                       SELECT coalesce(sum(windows.used), 0)
                         FROM budgets
                         JOIN meter_windows AS windows
                           ON windows.meter_id = 'budget:' || budgets.id AND windows.epoch = budgets.epoch
                          AND windows.window_start = window_start(
                                  budgets.reset_duration, budgets.anchored_at, keys.calendar_aligned, keys.time_zone,
                                  budgets.quarter_start_month, :as_of)
                        WHERE budgets.virtual_key_id = keys.id)
               END AS number_order
          FROM virtual_keys AS keys
          LEFT JOIN teams ON teams.id = keys.team_id
          LEFT JOIN customers ON customers.id = keys.customer_id
         WHERE ((:customer_id::text IS NULL AND :team_id::text IS NULL AND NOT :of_nobody::boolean)
                OR keys.customer_id = :customer_id OR keys.team_id = :team_id)
           AND (:metadata::jsonb IS NULL OR keys.metadata @> :metadata)
           AND (:search::text IS NULL
                OR strpos(lower(concat_ws(E'\n', keys.name, teams.name, customers.name)), lower(:search)) > 0
                OR EXISTS (SELECT FROM jsonb_each_text(keys.metadata) WHERE strpos(lower(value), lower(:search)) > 0))
       ) AS matching
 ORDER BY CASE WHEN NOT :descending::boolean THEN text_order END, CASE WHEN :descending THEN text_order END DESC,
          CASE WHEN NOT :descending THEN number_order END, CASE WHEN :descending THEN number_order END DESC,
          created_at, id
 LIMIT :page_limit::bigint OFFSET :page_offset::bigint;

-- name: lock_virtual_key(virtual_key_id)^
-- What a change of it starts from, locked until the change is done.
-- Uses virtual_keys_pkey.
SELECT team_id, customer_id, name, description, is_active, expires_at, delete_after_expire, disable_content_logging,
       calendar_aligned, time_zone, allow_all_providers, max_parallel_requests, metadata
  FROM virtual_keys WHERE id = :virtual_key_id::text FOR NO KEY UPDATE;

-- name: insert_virtual_key(virtual_key_id, team_id, customer_id, name, description, value_hash, value_sealed, is_active, expires_at, delete_after_expire, disable_content_logging, calendar_aligned, time_zone, allow_all_providers, max_parallel_requests, metadata, created_at)!
-- Without an owner it is the root of a tenant of its own (trigger).
-- Uses virtual_keys_pkey, virtual_keys_name_key and virtual_keys_value_hash_key.
INSERT INTO virtual_keys (id, team_id, customer_id, name, description, value_hash, value_sealed, is_active, expires_at,
                          delete_after_expire, disable_content_logging, calendar_aligned, time_zone,
                          allow_all_providers, max_parallel_requests, metadata, created_at, updated_at)
VALUES (:virtual_key_id::text, :team_id::text, :customer_id::text, :name::text, :description::text,
        :value_hash::bytea, :value_sealed::bytea, :is_active::boolean, :expires_at::timestamptz,
        :delete_after_expire::boolean, :disable_content_logging::boolean, :calendar_aligned::boolean, :time_zone::text,
        :allow_all_providers::boolean, :max_parallel_requests::integer, :metadata::jsonb, :created_at::timestamptz,
        :created_at);

-- name: update_virtual_key(virtual_key_id, team_id, customer_id, name, description, is_active, expires_at, delete_after_expire, disable_content_logging, calendar_aligned, time_zone, allow_all_providers, max_parallel_requests, metadata)!
-- Another owner moves the virtual key with all it has (triggers).
-- Uses virtual_keys_pkey.
UPDATE virtual_keys
   SET team_id = :team_id::text, customer_id = :customer_id::text, name = :name::text,
       description = :description::text, is_active = :is_active::boolean, expires_at = :expires_at::timestamptz,
       delete_after_expire = :delete_after_expire::boolean,
       disable_content_logging = :disable_content_logging::boolean, calendar_aligned = :calendar_aligned::boolean,
       time_zone = :time_zone::text, allow_all_providers = :allow_all_providers::boolean,
       max_parallel_requests = :max_parallel_requests::integer, metadata = :metadata::jsonb
 WHERE id = :virtual_key_id::text;

-- name: rotate_virtual_key(virtual_key_id, value_hash, value_sealed, previous_value_expires_at, rotated_at)!
-- A new value takes the place of the one before; that is cut off at once when previous_value_expires_at is NULL.
-- Uses virtual_keys_pkey.
UPDATE virtual_keys
   SET previous_value_hash = CASE WHEN :previous_value_expires_at::timestamptz IS NULL THEN NULL ELSE value_hash END,
       previous_value_expires_at = :previous_value_expires_at, value_hash = :value_hash::bytea,
       value_sealed = :value_sealed::bytea, rotated_at = :rotated_at::timestamptz
 WHERE id = :virtual_key_id::text;

-- name: delete_virtual_key(virtual_key_id)!
-- Its configs and limits go with it; its usage stays in the ledger.
-- Uses virtual_keys_pkey.
DELETE FROM virtual_keys WHERE id = :virtual_key_id::text;

-- name: find_virtual_key_by_hash(value_hash, as_of)^
-- Who presents a value: the current one, or the one before it while that still works.
-- Uses virtual_keys_value_hash_key and virtual_keys_previous_value.
SELECT id, expires_at FROM virtual_keys WHERE value_hash = :value_hash::bytea
 UNION ALL
SELECT id, expires_at FROM virtual_keys
 WHERE previous_value_hash = :value_hash AND previous_value_expires_at > :as_of::timestamptz
 LIMIT 1;
