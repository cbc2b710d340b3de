"""Teams: reads with live usage, and changes."""

from aiohttp import web

from service.domain.entities import Team
from service.domain.inputs.owners import TeamCreate, TeamUpdate
from service.governance.changes import teams as changes
from service.governance.tree.shown import show_teams, show_teams_with_keys
from service.http.changing import creates, deletes, updates
from service.http.contract import API, FROM_MEMORY, PAGE, Contract, Parameter, Route, change, one, page
from service.http.parameters import query_flag, query_text
from service.http.reading import ENTITY_READER, list_response, query_page, reads
from service.store.teams import TeamQuery, list_team_ids


async def list_teams(request: web.Request) -> web.StreamResponse:
    """Teams, oldest first, without their virtual keys. `from_memory` changes nothing: usage is always live."""
    query_flag(request, "from_memory")
    asked = query_page(request)
    query = TeamQuery(
        customer_id=query_text(request, "customer_id"), search=asked.search, limit=asked.limit, offset=asked.offset
    )
    ids = await request.app[ENTITY_READER].list_ids(list_team_ids, query)
    return await list_response(request, "teams", show_teams, ids, asked)


get_team = reads("team", "Team", show_teams_with_keys, id_name="team_id")
create_team = creates("team", "Team created successfully", TeamCreate, changes.create_team)
update_team = updates("team", "Team updated successfully", TeamUpdate, changes.update_team, id_name="team_id")
delete_team = deletes("Team deleted successfully", changes.delete_team, id_name="team_id")

_ONE = f"{API}/teams/{{team_id}}"
_CUSTOMER_ID = Parameter("customer_id", "text", "only teams of this customer")
_LIST = Contract(says="List teams", query=(*PAGE, FROM_MEMORY, _CUSTOMER_ID), answer=page("teams", Team))
_CREATE = Contract(says="Create a team", body=TeamCreate, answer=change("team", Team))
_READ = Contract(says="Read a team with its virtual keys", answer=one("team", Team))
_UPDATE = Contract(says="Update a team, or move it to another customer", body=TeamUpdate, answer=change("team", Team))
_DELETE = Contract(says="Delete a team; its virtual keys stay", answer=change())

ROUTES = (
    Route("GET", f"{API}/teams", "read", list_teams, _LIST),
    Route("POST", f"{API}/teams", "admin", create_team, _CREATE),
    Route("GET", _ONE, "read", get_team, _READ),
    Route("PUT", _ONE, "admin", update_team, _UPDATE),
    Route("DELETE", _ONE, "admin", delete_team, _DELETE),
)
