-- Which migrations a database has. Run by `governance migrate` and checked by every start.

-- name: create_schema_migrations()#
-- The first thing a new database gets. Uses no index.
CREATE TABLE IF NOT EXISTS schema_migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- name: lock_migrations(lock_id)$
-- Held to the end of the transaction: of many replicas that migrate at once, one does and the others find it done. Uses no index.
SELECT pg_advisory_xact_lock(:lock_id::bigint);

-- name: list_applied_migrations()
-- What a database has, to compare with the files.
-- Uses schema_migrations_pkey.
SELECT version, name, sha256 FROM schema_migrations ORDER BY version;

-- name: insert_applied_migration(version, name, sha256)!
-- Noted in the transaction of the migration itself.
-- Uses schema_migrations_pkey.
INSERT INTO schema_migrations (version, name, sha256) VALUES (:version::integer, :name::text, :sha256::text);
