-- What `governance check` looks at.

-- name: find_server_facts(application_name)^
-- The server and what it grants this user. Connections kept for superusers are not for us.
-- Uses no index: a few rows of the catalogue.
SELECT current_setting('server_version_num')::integer AS version_number,
       split_part(current_setting('server_version'), ' ', 1) AS version,
       least(current_setting('max_connections')::integer
             - current_setting('superuser_reserved_connections')::integer
             - coalesce(current_setting('reserved_connections', true)::integer, 0),
             (SELECT nullif(datconnlimit, -1) FROM pg_database WHERE datname = current_database()),
             (SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = current_user)) AS room,
       (SELECT count(*)::integer FROM pg_stat_activity
         WHERE backend_type = 'client backend' AND application_name <> :application_name::text) AS others,
       pg_is_in_recovery() AS is_standby,
       current_setting('fsync') = 'on' AND current_setting('synchronous_commit') <> 'off' AS is_durable,
       clock_timestamp() AS now;

-- name: list_some_sealed_secrets()
-- A few sealed values of each kind, the newest, to see whether the encryption key at hand opens them.
-- Uses virtual_keys_created_at; there are few provider keys and MCP clients.
(SELECT 'virtual_key' AS kind, id, value_sealed AS sealed FROM virtual_keys ORDER BY created_at DESC, id DESC LIMIT 20)
UNION ALL
(SELECT 'provider_key', id, secrets_sealed FROM provider_keys
  WHERE secrets_sealed IS NOT NULL ORDER BY created_at DESC, id DESC LIMIT 20)
UNION ALL
(SELECT 'mcp_client', id::text, connection_sealed FROM mcp_clients
  WHERE connection_sealed IS NOT NULL ORDER BY created_at DESC, id DESC LIMIT 20);
