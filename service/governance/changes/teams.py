"""Changes of teams."""

import msgspec
from msgspec import UNSET

from service.domain.inputs.limits import check_limits
from service.domain.inputs.owners import TeamCreate, TeamUpdate
from service.domain.refusals import not_found
from service.governance.changes.change import Change, new_id
from service.governance.changes.edit import EntityKind, begin_edit, finish_creation, finish_edit, finish_removal
from service.governance.changes.given import merged, owner_id
from service.governance.changes.limits import write_limits
from service.governance.tree.shown import show_teams
from service.store.limits import LimitOwner
from service.store.teams import (
    TeamColumns,
    delete_team as delete_row,
    insert_team,
    lock_team,
    update_team as update_row,
)

TEAM = EntityKind("team", "Team", show_teams)
_NULLABLE = frozenset({"max_parallel_requests", "customer_id"})


async def create_team(change: Change, given: TeamCreate, *, team_id: str | None = None) -> bytes:
    """Answers the team's JSON. Raises RefusedError."""
    check_limits(given)
    team_id = team_id or new_id()
    await insert_team(change.connection, team_id, _columns(TeamColumns(name=given.name), given), now=change.now)
    await write_limits(change, LimitOwner("team_id", team_id), given)
    return await finish_creation(change, TEAM, team_id)


async def update_team(change: Change, team_id: str, given: TeamUpdate) -> bytes:
    """Another customer takes the team with all its virtual keys; usage stays. Raises RefusedError."""
    check_limits(given)
    columns = await _lock(change, team_id)
    before = await begin_edit(change, TEAM, team_id)
    await update_row(change.connection, team_id, _columns(columns, given))
    await write_limits(change, LimitOwner("team_id", team_id), given)
    return await finish_edit(change, TEAM, before, reset_budget_usage=given.reset_budget_usage)


async def delete_team(change: Change, team_id: str) -> None:
    """Its virtual keys stay, without a team. Raises RefusedError."""
    await _lock(change, team_id)
    before = await begin_edit(change, TEAM, team_id)
    await delete_row(change.connection, team_id)
    await finish_removal(change, TEAM, before)


def _columns(columns: TeamColumns, given: TeamCreate | TeamUpdate) -> TeamColumns:
    new = merged(columns, given, nullable=_NULLABLE)
    return new if given.customer_id is UNSET else msgspec.structs.replace(new, customer_id=owner_id(new.customer_id))


async def _lock(change: Change, team_id: str) -> TeamColumns:
    columns = await lock_team(change.connection, team_id)
    if columns is None:
        raise not_found("Team not found")
    return columns
