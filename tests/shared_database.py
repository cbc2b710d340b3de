"""One database for all tests of a process, because a copy for each took most of their time.

What a test leaves in it is swept away. A test that changes its schema is told to ask for a database of its own.
"""

# asyncpg's classes are generic for the type checker only.
from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import asyncpg

Schema = tuple[Any, ...]

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
# A catalog's row that was changed has another xmin. The ledger's tables are changed by what is tested.
_SCHEMA = """
    WITH relations AS (
        SELECT oid, relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname !~ '^usage_events'
    )
    SELECT (SELECT sum(hashtext(relname)) FROM relations),
           (SELECT sum(hashtext(attname || pg_attribute.xmin::text))
              FROM pg_attribute JOIN relations ON relations.oid = attrelid WHERE attnum > 0),
           (SELECT sum(hashtext(conname || pg_constraint.xmin::text))
              FROM pg_constraint JOIN relations ON relations.oid = conrelid),
           (SELECT sum(hashtext(tgname || pg_trigger.xmin::text))
              FROM pg_trigger JOIN relations ON relations.oid = tgrelid),
           (SELECT sum(hashtext(proname || xmin::text)) FROM pg_proc WHERE pronamespace = 'public'::regnamespace),
           (SELECT sum(hashtext(name)) FROM schema_migrations)
"""


class SharedDatabase:
    """Swept by one connection that stays: a new one takes ten times as long to get to know all the tables.

    It has an event loop of its own, because each test has one.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._loop = asyncio.new_event_loop()
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._schema = self._loop.run_until_complete(self._read_schema())

    def sweep(self) -> None:
        """Raises AssertionError when the schema is not what it was."""
        before, self._schema = self._schema, self._loop.run_until_complete(self._sweep())
        assert self._schema == before, "a test that changes the schema is marked `own_database`"

    def close(self) -> None:
        if self._connection is not None:
            self._loop.run_until_complete(self._connection.close())
        self._loop.close()

    async def _sweep(self) -> Schema:
        connection = await self._connected()
        await connection.execute(_SWEEP)
        return await self._read_schema()

    async def _read_schema(self) -> Schema:
        connection = await self._connected()
        row = await connection.fetchrow(_SCHEMA)
        assert row is not None
        return tuple(row)

    async def _connected(self) -> asyncpg.Connection[asyncpg.Record]:
        """A test may have ended all connections to the database: whether it is there is seen by asking."""
        if self._connection is not None:
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await self._connection.execute("SELECT 1")
                return self._connection
            self._connection.terminate()
        self._connection = await asyncpg.connect(self.url)
        return self._connection
