-- Virtual keys.

-- name: list_some_sealed_virtual_keys()
-- A few sealed values, to see whether the encryption key at hand is the one they were sealed with.
-- Uses virtual_keys_created_at (its last entries).
SELECT id, value_sealed FROM virtual_keys ORDER BY created_at DESC, id DESC LIMIT 20;
