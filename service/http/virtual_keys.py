"""Virtual keys: reads with live usage, changes, rotation, overrides, and the quota of who holds one."""

from datetime import timedelta
from typing import Any, get_args

import msgspec
from aiohttp import web
from msgspec import UnsetType

from service.domain.entities import Budget, VirtualKey
from service.domain.inputs.virtual_keys import OverrideInput, RotateInput, VirtualKeyCreate, VirtualKeyUpdate
from service.governance.changes import overrides, virtual_keys as changes
from service.governance.changes.change import Change
from service.governance.changes.run import Answer
from service.governance.quota import QuotaReader
from service.governance.tree.shown import show_virtual_keys
from service.http.body import read_body
from service.http.changing import changed, creates, deletes, once_of, run_change, updates
from service.http.contract import API, FROM_MEMORY, STRICT_PAGE, Contract, Parameter, Route, change, one, page
from service.http.errors import ApiError, bad_request, json_response
from service.http.parameters import path_id, query_choice, query_flag, query_prefixed, query_text
from service.http.presented_key import presented_virtual_key
from service.http.reading import ENTITY_READER, list_response, query_page, reads
from service.store.virtual_keys import SortBy, VirtualKeyQuery, list_virtual_key_ids

ROTATION_COOLDOWN = web.AppKey("rotation_cooldown", timedelta)
QUOTA_READER = web.AppKey("quota_reader", QuotaReader)

_IGNORED_FLAGS = (
    "from_memory",
    "exclude_access_profile_managed_virtual",
    "exclude_assigned_virtual_keys",
    "for_user_assignment",
)


async def list_virtual_keys(request: web.Request) -> web.StreamResponse:
    """Virtual keys, oldest first unless `sort_by` says otherwise. `from_memory` changes nothing: usage is live."""
    for name in _IGNORED_FLAGS:
        query_flag(request, name)
    user_id = query_text(request, "user_id")
    if user_id is not None and query_flag(request, "from_memory"):
        raise bad_request("query parameter 'user_id' cannot be combined with 'from_memory'")
    asked = query_page(request, strict=True, unbounded=query_flag(request, "export"))
    query = VirtualKeyQuery(
        customer_id=query_text(request, "customer_id"),
        team_id=query_text(request, "team_id"),
        of_nobody=user_id is not None,
        search=asked.search,
        metadata=query_prefixed(request, "metadata_") or None,
        sort_by=query_choice(request, "sort_by", get_args(SortBy)) or "created_at",
        descending=query_choice(request, "order", ("asc", "desc")) == "desc",
        limit=asked.limit,
        offset=asked.offset,
        as_of=request.app[ENTITY_READER].now(),
    )
    ids = await request.app[ENTITY_READER].list_ids(list_virtual_key_ids, query)
    return await list_response(request, "virtual_keys", show_virtual_keys, ids, asked)


get_virtual_key = reads("virtual_key", "Virtual key", show_virtual_keys, id_name="virtual_key_id")
create_virtual_key = creates(
    "virtual_key", "Virtual key created successfully", VirtualKeyCreate, changes.create_virtual_key
)
update_virtual_key = updates(
    "virtual_key",
    "Virtual key updated successfully",
    VirtualKeyUpdate,
    changes.update_virtual_key,
    id_name="virtual_key_id",
)
delete_virtual_key = deletes("Virtual key deleted successfully", changes.delete_virtual_key, id_name="virtual_key_id")


async def rotate_virtual_key(request: web.Request) -> web.Response:
    """A new value for one virtual key."""
    virtual_key_id = path_id(request, "virtual_key_id")

    async def work(change: Change) -> Answer:
        body = await changes.rotate_virtual_key(change, virtual_key_id, cooldown=request.app[ROTATION_COOLDOWN])
        return changed("Virtual key rotated successfully", {"virtual_key": body}, [])

    return await run_change(request, work, once=once_of(request, b""))


async def rotate_virtual_keys(request: web.Request) -> web.Response:
    """New values for many: those that are not there are told of in `errors`."""
    body = await read_body(request, RotateInput)

    async def work(change: Change) -> Answer:
        rotated = await changes.rotate_virtual_keys(change, body.given.ids, cooldown=request.app[ROTATION_COOLDOWN])
        fields = {"virtual_keys": b"[" + b",".join(rotated.virtual_keys) + b"]"}
        if rotated.errors:
            fields["errors"] = msgspec.json.encode(rotated.errors)
        return changed("Virtual keys rotated successfully", fields, body.warnings)

    return await run_change(request, work, once=once_of(request, body.raw))


async def set_override(request: web.Request) -> web.Response:
    """A temporary extra allowance on a budget of the key."""
    virtual_key_id, budget_id = path_id(request, "virtual_key_id"), path_id(request, "budget_id")
    body = await read_body(request, OverrideInput)

    async def work(change: Change) -> Answer:
        return _overridden(await overrides.set_override(change, virtual_key_id, budget_id, body.given))

    return await run_change(request, work)


async def remove_override(request: web.Request) -> web.Response:
    """The budget's own limit again."""
    virtual_key_id, budget_id = path_id(request, "virtual_key_id"), path_id(request, "budget_id")

    async def work(change: Change) -> Answer:
        return _overridden(await overrides.remove_override(change, virtual_key_id, budget_id))

    return await run_change(request, work)


async def read_quota(request: web.Request) -> web.Response:
    """What the virtual key this request comes with may still use; the key is its own credential."""
    quotas = request.app[QUOTA_READER]
    key = await quotas.identify(presented_virtual_key(request))
    if key is None:
        raise ApiError(401, "Virtual key not found")
    if quotas.is_expired(key):
        raise ApiError(403, "Virtual key is expired")
    quota = await quotas.read(key.id)
    if quota is None:
        raise ApiError(401, "Virtual key not found")
    return json_response(msgspec.json.encode(quota))


def _overridden(overridden: overrides.Overridden) -> Answer:
    body = b'{"budget":%s,"effective_max_limit":%s}' % (overridden.budget, overridden.effective_max_limit)
    return Answer(200, body)


_ALL = f"{API}/virtual-keys"
_ONE = f"{_ALL}/{{virtual_key_id}}"
_OVERRIDE = f"{_ONE}/budgets/{{budget_id}}/override"
_LIST_PARAMETERS = (
    *STRICT_PAGE,
    FROM_MEMORY,
    Parameter("customer_id", "text", "keys of this customer; with team_id: of either"),
    Parameter("team_id", "text", "keys of this team; with customer_id: of either"),
    Parameter("user_id", "text", "no key has one here: matches nothing"),
    Parameter("sort_by", "text", "name, budget_spent, created_at or status", choices=get_args(SortBy)),
    Parameter("order", "text", "asc or desc", choices=("asc", "desc")),
    Parameter("export", "flag", "no bound on how many are answered"),
    Parameter("metadata_*", "text", "only keys with this value under this key of their metadata"),
)
_KEY = change("virtual_key", VirtualKey)
_BUDGET = {"budget": Budget, "effective_max_limit": float}
_QUOTA = {
    "virtual_key_name": str,
    "is_active": bool,
    "budgets": list[dict[str, Any]],
    "rate_limits": list[dict[str, Any]],
    "provider_configs": list[dict[str, Any]],
    "model_configs": list[dict[str, Any]],
}
_LIST = Contract(says="List virtual keys", query=_LIST_PARAMETERS, answer=page("virtual_keys", VirtualKey))
_CREATE = Contract(says="Create a virtual key", body=VirtualKeyCreate, answer=_KEY)
_READ = Contract(says="Read a virtual key", answer=one("virtual_key", VirtualKey))
_UPDATE = Contract(says="Update a virtual key, or move it", body=VirtualKeyUpdate, answer=_KEY)
_DELETE = Contract(says="Delete a virtual key", answer=change())
_ROTATE = Contract(says="Give a virtual key a new value", answer=_KEY)
_ROTATE_MANY = Contract(
    says="Give many virtual keys new values; `errors` tells of those that are not there",
    body=RotateInput,
    answer=change("virtual_keys", list[VirtualKey]) | {"errors": dict[str, str] | UnsetType},
)
_QUOTA_READ = Contract(
    says="What the virtual key in the request's headers may still use", answer=_QUOTA, refusals=(401, 403)
)
_SET_OVERRIDE = Contract(says="Raise a budget for a time", body=OverrideInput, answer=_BUDGET)
_REMOVE_OVERRIDE = Contract(says="Take a budget's raise back", answer=_BUDGET)

ROUTES = (
    Route("GET", _ALL, "read", list_virtual_keys, _LIST),
    Route("POST", _ALL, "admin", create_virtual_key, _CREATE),
    Route("POST", f"{_ALL}/rotate", "admin", rotate_virtual_keys, _ROTATE_MANY),
    Route("GET", f"{_ALL}/quota", "virtual_key", read_quota, _QUOTA_READ),
    Route("GET", _ONE, "read", get_virtual_key, _READ),
    Route("PUT", _ONE, "admin", update_virtual_key, _UPDATE),
    Route("DELETE", _ONE, "admin", delete_virtual_key, _DELETE),
    Route("POST", f"{_ONE}/rotate", "admin", rotate_virtual_key, _ROTATE),
    Route("PUT", _OVERRIDE, "admin", set_override, _SET_OVERRIDE),
    Route("DELETE", _OVERRIDE, "admin", remove_override, _REMOVE_OVERRIDE),
)
