-- Virtual keys.

-- name: list_some_sealed_virtual_keys()
-- A few sealed values, to see whether the encryption key at hand is the one they were sealed with.
-- Uses virtual_keys_pkey (its first entries).
SELECT id, value_sealed FROM virtual_keys ORDER BY id LIMIT 5;
