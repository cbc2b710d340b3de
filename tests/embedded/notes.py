"""Writes a note to a server and reads it back, with the clients the service uses."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg
from redis.asyncio import Redis

from service.embedded.servers import EmbeddedPostgres, EmbeddedServer


async def write_note(server: EmbeddedServer) -> str:
    """Returns the new note when it is durable."""
    text = uuid4().hex
    if isinstance(server, EmbeddedPostgres):
        async with connected(server) as connection:
            await connection.execute("CREATE TABLE IF NOT EXISTS note (id serial, text text)")
            await connection.execute("INSERT INTO note (text) VALUES ($1)", text)
        return text
    async with Redis.from_url(server.url) as client:
        await client.set("note", text)
        await client.waitaof(1, 0, 5_000)
    return text


async def read_note(server: EmbeddedServer) -> str:
    """The last note written."""
    if isinstance(server, EmbeddedPostgres):
        async with connected(server) as connection:
            note = await connection.fetchval("SELECT text FROM note ORDER BY id DESC LIMIT 1")
            return str(note)
    async with Redis.from_url(server.url, decode_responses=True) as client:
        return str(await client.get("note"))


@asynccontextmanager
async def connected(server: EmbeddedPostgres) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(server.url)
    try:
        yield connection
    finally:
        await connection.close(timeout=5)
