-- Loading a demo tree.

-- name: reserve_ids(table_name, how_many)
-- Takes the next numbers of a table's identity column, in order; nobody else gets them, whatever becomes of the rows.
-- Uses the column's sequence.
WITH identity AS MATERIALIZED (SELECT pg_get_serial_sequence(:table_name::text, 'id')::regclass AS sequence)
SELECT nextval(identity.sequence) AS id FROM identity, generate_series(1, :how_many::bigint);
