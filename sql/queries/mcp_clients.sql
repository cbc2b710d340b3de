-- MCP clients.

-- name: list_mcp_client_ids(connection_type, search, page_limit, page_offset)
-- The ids of one page of MCP clients in the order of creation, each with how many match in all. NULL: not asked for.
-- Uses mcp_clients_pkey.
SELECT id, count(*) OVER () AS total_count
  FROM mcp_clients
 WHERE (:connection_type::text IS NULL OR connection_type = :connection_type)
   AND (:search::text IS NULL OR strpos(lower(name), lower(:search)) > 0)
 ORDER BY id
 LIMIT :page_limit::bigint OFFSET :page_offset::bigint;

-- name: count_mcp_clients(connection_type, search)$
-- How many match, for a page beyond the last.
-- Uses mcp_clients_pkey.
SELECT count(*) FROM mcp_clients
 WHERE (:connection_type::text IS NULL OR connection_type = :connection_type)
   AND (:search::text IS NULL OR strpos(lower(name), lower(:search)) > 0);

-- name: list_shown_mcp_clients(mcp_client_ids)
-- MCP clients as they may be shown, without what is secret in their connections.
-- Uses mcp_clients_pkey.
SELECT id, name, connection_type, connection_string, tools_to_execute, allow_by_default, config_hash, created_at,
       updated_at
  FROM mcp_clients WHERE id = ANY (:mcp_client_ids::bigint[]) ORDER BY id;

-- name: lock_mcp_client(mcp_client_id)^
-- What a change of it starts from, locked until the change is done.
-- Uses mcp_clients_pkey.
SELECT name, connection_type, connection_string, connection_sealed, tools_to_execute, allow_by_default
  FROM mcp_clients WHERE id = :mcp_client_id::bigint FOR NO KEY UPDATE;

-- name: next_mcp_client_id()$
-- The id of a client that is not there yet: what is sealed for it names it.
-- Uses mcp_clients_id_seq.
SELECT nextval(pg_get_serial_sequence('mcp_clients', 'id'));

-- name: insert_mcp_client(mcp_client_id, name, connection_type, connection_string, connection_sealed, tools_to_execute, allow_by_default, created_at)!
-- What may be shown of the connection beside what is sealed.
-- Uses mcp_clients_pkey and mcp_clients_name_key.
INSERT INTO mcp_clients (id, name, connection_type, connection_string, connection_sealed, tools_to_execute,
                         allow_by_default, created_at, updated_at)
VALUES (:mcp_client_id::bigint, :name::text, :connection_type::text, :connection_string::text,
        :connection_sealed::bytea, :tools_to_execute::text[], :allow_by_default::boolean, :created_at::timestamptz,
        :created_at);

-- name: update_mcp_client(mcp_client_id, name, connection_type, connection_string, connection_sealed, tools_to_execute, allow_by_default)!
-- Every virtual key that may use it shows it as it is now (trigger).
-- Uses mcp_clients_pkey.
UPDATE mcp_clients
   SET name = :name::text, connection_type = :connection_type::text, connection_string = :connection_string::text,
       connection_sealed = :connection_sealed::bytea, tools_to_execute = :tools_to_execute::text[],
       allow_by_default = :allow_by_default::boolean
 WHERE id = :mcp_client_id::bigint;

-- name: delete_mcp_client(mcp_client_id)!
-- Virtual keys may no longer execute its tools (foreign key).
-- Uses mcp_clients_pkey.
DELETE FROM mcp_clients WHERE id = :mcp_client_id::bigint;
