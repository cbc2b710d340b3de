"""Teams: lists of them, and what is written."""

from datetime import datetime

import msgspec

from service.store.lists import IdPage
from service.store.postgres import Connection
from service.store.queries import queries


class TeamQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Teams of a customer, whose name contains `search` (any case); `limit` None is all of them."""

    customer_id: str | None = None
    search: str | None = None
    limit: int | None = None
    offset: int = 0


class TeamColumns(msgspec.Struct, frozen=True, kw_only=True):
    """What of a team is written."""

    customer_id: str | None = None
    name: str
    calendar_aligned: bool = False
    time_zone: str = "UTC"
    max_parallel_requests: int | None = None


async def list_team_ids(connection: Connection, query: TeamQuery) -> IdPage:
    """Oldest first."""
    narrowed = {"customer_id": query.customer_id, "search": query.search}
    rows = queries.list_team_ids(connection, page_limit=query.limit, page_offset=query.offset, **narrowed)
    page = [row async for row in rows]
    total_count = page[0]["total_count"] if page else await queries.count_teams(connection, **narrowed)
    return IdPage([row["id"] for row in page], total_count)


async def lock_team(connection: Connection, team_id: str) -> TeamColumns | None:
    """What a change starts from; nobody else changes it until the transaction ends."""
    row = await queries.lock_team(connection, team_id=team_id)
    return None if row is None else msgspec.convert(dict(row), TeamColumns)


async def insert_team(connection: Connection, team_id: str, team: TeamColumns, *, now: datetime) -> None:
    await queries.insert_team(connection, team_id=team_id, created_at=now, **msgspec.structs.asdict(team))


async def update_team(connection: Connection, team_id: str, team: TeamColumns) -> None:
    await queries.update_team(connection, team_id=team_id, **msgspec.structs.asdict(team))


async def delete_team(connection: Connection, team_id: str) -> None:
    await queries.delete_team(connection, team_id=team_id)
