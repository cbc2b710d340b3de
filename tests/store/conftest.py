"""What the tests of the store share."""

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from service.domain.sealing import Sealer
from service.store.postgres import Connection, connect
from tests.factories import Factory
from tests.servers import Servers, create_empty_database, drop_database
from tests.shared_database import SharedDatabase


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
async def undone(shared_database: SharedDatabase) -> AsyncIterator[Connection]:
    """A connection whose work is rolled back: for tests of one row's rules, where a refusal is not the end."""
    connection = await connect(shared_database.url)
    transaction = connection.transaction()
    await transaction.start()
    yield connection
    await transaction.rollback()
    await connection.close()


@pytest.fixture
def make_undone(undone: Connection, sealer: Sealer) -> Factory:
    return Factory(undone, sealer)
