-- First answers to POSTs with an Idempotency-Key.

-- name: claim_idempotency_key(actor, key, fingerprint)$
-- Answers 1 when the key is new; NULL, after waiting for whoever is at it, when it is not.
-- Uses idempotency_keys_pkey.
INSERT INTO idempotency_keys (actor, key, fingerprint, status, answer_sealed)
VALUES (:actor::text, :key::text, :fingerprint::bytea, 0, '')
    ON CONFLICT (actor, key) DO NOTHING
RETURNING 1;

-- name: keep_first_answer(actor, key, status, answer_sealed)!
-- Written in the transaction that claimed the key.
-- Uses idempotency_keys_pkey.
UPDATE idempotency_keys SET status = :status::smallint, answer_sealed = :answer_sealed::bytea
 WHERE actor = :actor::text AND key = :key::text;

-- name: find_first_answer(actor, key)^
-- What was answered when the key was first used.
-- Uses idempotency_keys_pkey.
SELECT fingerprint, status, answer_sealed FROM idempotency_keys WHERE actor = :actor::text AND key = :key::text;
