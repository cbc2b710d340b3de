"""Taking one database away from whoever uses it, and giving it back."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import asyncpg


@asynccontextmanager
async def database_away(server_url: str, database_url: str) -> AsyncIterator[None]:
    """The database ends its connections and takes no new ones until the block is left."""
    name = _name(database_url)
    await _end_connections(server_url, name)
    admin = await asyncpg.connect(server_url)
    await admin.execute(f'ALTER DATABASE "{name}" RENAME TO "{name}_away"')
    try:
        yield
    finally:
        await admin.execute(f'ALTER DATABASE "{name}_away" RENAME TO "{name}"')
        await admin.close()


def end_connections_unnoticed(server_url: str, database_url: str) -> None:
    """Postgres has ended all connections to the database, and the caller's event loop has yet to read of it."""
    thread = threading.Thread(target=lambda: asyncio.run(_end_connections(server_url, _name(database_url))))
    thread.start()
    thread.join()


async def _end_connections(server_url: str, name: str) -> None:
    admin = await asyncpg.connect(server_url)
    await admin.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1", name)
    await admin.close()


def _name(database_url: str) -> str:
    return urlsplit(database_url).path.removeprefix("/")
