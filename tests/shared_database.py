"""One database for all tests of a process, because a copy for each took most of their time.

What a test leaves in it is swept away. A test that changes its schema is told to ask for a database of its own.
"""

from typing import Any

import asyncpg

# Without triggers: what is append-only goes too. Numbers begin anew, as in a new database.
_SWEEP = """
    SET session_replication_role = replica;
    DO $$
    DECLARE
        swept text;
    BEGIN
        FOR swept IN SELECT name FROM usage_events_partitions LOOP
            EXECUTE format('DROP TABLE %I', swept);
        END LOOP;
        FOR swept IN SELECT tablename FROM pg_tables
                      WHERE schemaname = 'public' AND tablename <> 'schema_migrations' LOOP
            EXECUTE format('DELETE FROM %I', swept);
        END LOOP;
        PERFORM setval(format('%I', sequencename)::regclass, start_value, false)
           FROM pg_sequences WHERE schemaname = 'public';
        INSERT INTO tenants (id) VALUES ('global');
    END $$;
"""
# A catalog's row that was changed has another xmin; what VACUUM and ANALYZE write there leaves it alone. The ledger's
# tables are changed by what is tested.
_SCHEMA = """
    SELECT (SELECT array_agg(relname::text || xmin ORDER BY oid) FROM pg_class
             WHERE relnamespace = 'public'::regnamespace AND relname !~ '^usage_events'),
           (SELECT array_agg(proname::text || xmin ORDER BY oid) FROM pg_proc
             WHERE pronamespace = 'public'::regnamespace),
           (SELECT array_agg(tgname::text || xmin ORDER BY oid) FROM pg_trigger WHERE NOT tgisinternal),
           (SELECT array_agg(name ORDER BY version) FROM schema_migrations)
"""


class SharedDatabase:
    def __init__(self, url: str) -> None:
        self.url = url
        self._schema: tuple[Any, ...] | None = None

    async def look(self) -> None:
        """See what its schema is, before the first test."""
        connection = await asyncpg.connect(self.url)
        self._schema = await _schema(connection)
        await connection.close()

    async def sweep(self) -> None:
        """Raises AssertionError when the schema is not what it was."""
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(_SWEEP)
            before, self._schema = self._schema, await _schema(connection)
        finally:
            await connection.close()
        assert self._schema == before, "a test that changes the schema is marked `own_database`"


async def _schema(connection: Any) -> tuple[Any, ...]:
    return tuple(await connection.fetchrow(_SCHEMA))
