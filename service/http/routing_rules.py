"""Routing rules: reads and changes, under the two paths Bifrost has had for them."""

from typing import TypeVar, get_args

from aiohttp import web

from service.domain.inputs.routing import RoutingRuleCreate, RoutingRuleInput, RoutingRuleUpdate
from service.domain.routing import RoutingRuleEntity, RuleScope
from service.governance.catalogue import show_routing_rules
from service.governance.changes import routing_rules as changes
from service.governance.changes.change import Change
from service.http.auth import Handler
from service.http.changing import creates, deletes, updates
from service.http.contract import API, STRICT_PAGE, Contract, Parameter, Route, change, one, page
from service.http.errors import ApiError
from service.http.parameters import query_choice, query_text
from service.http.reading import ENTITY_READER, list_response, query_page, reads
from service.store.routing_rules import RoutingRuleQuery, list_routing_rule_ids

_PATHS = (f"{API}/routing-rules", "/api/routing/rules")
_SCOPES = get_args(RuleScope)
_QUERY = (
    *STRICT_PAGE,
    Parameter("scope", "text", "only rules of this scope", choices=_SCOPES),
    Parameter("scope_id", "text", "only rules of this customer, team or virtual key"),
)
_RULE = change("rule", RoutingRuleEntity)
_LIST = Contract(says="List routing rules", query=_QUERY, answer=page("rules", RoutingRuleEntity))
_CREATE = Contract(says="Send some calls elsewhere", body=RoutingRuleCreate, answer=_RULE)
_READ = Contract(says="Read a routing rule", answer=one("rule", RoutingRuleEntity))
_UPDATE = Contract(says="Update a routing rule", body=RoutingRuleUpdate, answer=_RULE)
_DELETE = Contract(says="Delete a routing rule", answer=change())
T = TypeVar("T", bound=RoutingRuleInput)


async def _list(request: web.Request) -> web.StreamResponse:
    asked = query_page(request, strict=True)
    query = RoutingRuleQuery(
        scope=query_choice(request, "scope", _SCOPES),
        scope_id=query_text(request, "scope_id"),
        search=asked.search,
        limit=asked.limit,
        offset=asked.offset,
    )
    ids = await request.app[ENTITY_READER].list_ids(list_routing_rule_ids, query)
    return await list_response(request, "rules", show_routing_rules, ids, asked)


async def _create(change: Change, given: RoutingRuleCreate) -> bytes:
    return await changes.create_routing_rule(change, _not_of_users(given))


async def _update(change: Change, rule_id: str, given: RoutingRuleUpdate) -> bytes:
    return await changes.update_routing_rule(change, rule_id, _not_of_users(given))


def _not_of_users(given: T) -> T:
    if given.scope == "user":
        raise ApiError(403, "Routing rules of scope 'user' cannot be created", path="$.scope")
    return given


def _lists() -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return await _list(request)

    return handle


def _routes(path: str) -> tuple[Route, ...]:
    """With handlers of their own: the scope of a route is found by its handler."""
    creation = creates("rule", "Routing rule created successfully", RoutingRuleCreate, _create)
    read = reads("rule", "Routing rule", show_routing_rules, id_name="rule_id")
    update = updates("rule", "Routing rule updated successfully", RoutingRuleUpdate, _update, id_name="rule_id")
    removal = deletes("Routing rule deleted successfully", changes.delete_routing_rule, id_name="rule_id")
    return (
        Route("GET", path, "read", _lists(), _LIST),
        Route("POST", path, "admin", creation, _CREATE),
        Route("GET", f"{path}/{{rule_id}}", "read", read, _READ),
        Route("PUT", f"{path}/{{rule_id}}", "admin", update, _UPDATE),
        Route("DELETE", f"{path}/{{rule_id}}", "admin", removal, _DELETE),
    )


ROUTES = tuple(route for path in _PATHS for route in _routes(path))
