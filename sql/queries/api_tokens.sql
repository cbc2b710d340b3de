-- API tokens: a keyed hash of each, never the token.

-- name: insert_api_token(token_id, name, scope, token_hash, expires_at)^
-- Uses api_tokens_pkey, and refuses a name that is taken by api_tokens_name_key.
INSERT INTO api_tokens (id, name, scope, token_hash, expires_at)
VALUES (:token_id::text, :name::text, :scope::text, :token_hash::bytea, :expires_at::timestamptz)
RETURNING id, name, scope, created_at, expires_at, revoked_at;

-- name: list_api_tokens()
-- All tokens, revoked and expired ones too, oldest first: an operator's page, there are few.
-- Uses no index: the table is read whole.
SELECT id, name, scope, created_at, expires_at, revoked_at FROM api_tokens ORDER BY created_at, id;

-- name: find_api_token_by_hash(token_hash)^
-- Who presents a token. Answers revoked and expired ones too: the caller tells them apart.
-- Uses api_tokens_token_hash_key.
SELECT id, name, scope, created_at, expires_at, revoked_at FROM api_tokens WHERE token_hash = :token_hash::bytea;

-- name: revoke_api_token(name)^
-- Revoked once and for good; none when there is no such token or it was revoked before.
-- Uses api_tokens_name_key.
UPDATE api_tokens SET revoked_at = now() WHERE name = :name::text AND revoked_at IS NULL
RETURNING id, name, scope, created_at, expires_at, revoked_at;
