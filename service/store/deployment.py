"""What `governance check` asks Postgres."""

import time
from collections.abc import Callable
from datetime import datetime

import msgspec

from service.domain.deployment import Clock, PostgresFacts
from service.store.postgres import APPLICATION_NAME, Connection
from service.store.queries import queries


class SealedSecret(msgspec.Struct, frozen=True):
    kind: str
    id: str
    sealed: bytes


async def find_postgres_facts(connection: Connection, clock: Callable[[], datetime]) -> PostgresFacts:
    """`others` are the connections that are not of the service."""
    await queries.find_server_facts(connection, application_name=APPLICATION_NAME)  # so that it is prepared
    begun, begun_seconds = clock(), time.perf_counter()
    row = dict(await queries.find_server_facts(connection, application_name=APPLICATION_NAME))
    round_trip_seconds = time.perf_counter() - begun_seconds
    ahead_seconds = (row.pop("now") - begun).total_seconds() - round_trip_seconds / 2
    return PostgresFacts(**row, clock=Clock(ahead_seconds, round_trip_seconds))


async def list_some_sealed_secrets(connection: Connection) -> list[SealedSecret]:
    rows = queries.list_some_sealed_secrets(connection)
    return [SealedSecret(row["kind"], row["id"], row["sealed"]) async for row in rows]
