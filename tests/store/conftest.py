"""What the tests of the store share: one database for all of them, because a copy for each takes most of the time."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import asyncpg
import pytest

from service.domain.sealing import Sealer
from service.store.postgres import Connection, connect
from tests.factories import Factory
from tests.servers import Servers, clone_template, create_empty_database, drop_database

# Without triggers: what is append-only goes too.
SWEEP = """
    SET session_replication_role = replica;
    DO $$
    DECLARE
        table_name text;
    BEGIN
        FOR table_name IN SELECT tablename FROM pg_tables
                           WHERE schemaname = 'public' AND tablename <> 'schema_migrations' LOOP
            EXECUTE format('DELETE FROM %I', table_name);
        END LOOP;
        INSERT INTO tenants (id) VALUES ('global');
    END $$;
"""


@pytest.fixture(scope="session")
def shared_database_url(servers: Servers) -> Iterator[str]:
    url = asyncio.run(clone_template(servers))
    yield url
    asyncio.run(drop_database(servers.postgres_url, urlsplit(url).path.removeprefix("/")))


@pytest.fixture
async def database_url(shared_database_url: str) -> AsyncIterator[str]:
    """A migrated database without rows; what a test leaves in it is swept away."""
    yield shared_database_url
    connection = await asyncpg.connect(shared_database_url)
    await connection.execute(SWEEP)
    await connection.close()


@pytest.fixture
async def empty_database_url(servers: Servers) -> AsyncIterator[str]:
    """A database without any migration."""
    url = await create_empty_database(servers)
    yield url
    await drop_database(servers.postgres_url, urlsplit(url).path.removeprefix("/"))


@pytest.fixture
async def other_connection(database_url: str) -> AsyncIterator[Connection]:
    """A second session beside `connection`: another replica, or another operator."""
    connection = await connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
def make_on_other(other_connection: Connection, sealer: Sealer) -> Factory:
    """Writes through `other_connection`; give names and ids, its numbers begin anew."""
    return Factory(other_connection, sealer)


@pytest.fixture
async def undone(shared_database_url: str) -> AsyncIterator[Connection]:
    """A connection whose work is rolled back: for tests of one row's rules, where a refusal is not the end."""
    connection = await connect(shared_database_url)
    transaction = connection.transaction()
    await transaction.start()
    yield connection
    await transaction.rollback()
    await connection.close()


@pytest.fixture
def make_undone(undone: Connection, sealer: Sealer) -> Factory:
    return Factory(undone, sealer)
