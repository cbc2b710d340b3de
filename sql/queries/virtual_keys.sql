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
