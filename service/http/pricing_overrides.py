"""Pricing overrides: reads and changes."""

from typing import get_args

from aiohttp import web

from service.domain.catalogue import PricingOverrideEntity
from service.domain.inputs.pricing import SCOPE_IDS, PricingOverrideCreate, PricingOverrideUpdate
from service.domain.pricing import ScopeKind
from service.governance.catalogue import show_pricing_overrides
from service.governance.changes import pricing_overrides as changes
from service.http.changing import creates, deletes, updates
from service.http.contract import API, STRICT_PAGE, Contract, Parameter, Route, change, one, page
from service.http.parameters import query_choice, query_text
from service.http.reading import ENTITY_READER, list_response, query_page, reads
from service.store.pricing_overrides import PricingOverrideQuery, list_pricing_override_ids

_SCOPE_KINDS = get_args(ScopeKind)


async def list_pricing_overrides(request: web.Request) -> web.StreamResponse:
    """Pricing overrides, oldest first."""
    asked = query_page(request, strict=True)
    query = PricingOverrideQuery(
        scope_kind=query_choice(request, "scope_kind", _SCOPE_KINDS),
        **{name: query_text(request, name) for name in SCOPE_IDS},
        search=asked.search,
        limit=asked.limit,
        offset=asked.offset,
    )
    ids = await request.app[ENTITY_READER].list_ids(list_pricing_override_ids, query)
    return await list_response(request, "pricing_overrides", show_pricing_overrides, ids, asked)


get_pricing_override = reads(
    "pricing_override", "Pricing override", show_pricing_overrides, id_name="pricing_override_id"
)
create_pricing_override = creates(
    "pricing_override",
    "Pricing override created successfully",
    PricingOverrideCreate,
    changes.create_pricing_override,
    status=201,
)
update_pricing_override = updates(
    "pricing_override",
    "Pricing override updated successfully",
    PricingOverrideUpdate,
    changes.update_pricing_override,
    id_name="pricing_override_id",
)
delete_pricing_override = deletes(
    "Pricing override deleted successfully", changes.delete_pricing_override, id_name="pricing_override_id"
)

_ALL = f"{API}/pricing-overrides"
_ONE = f"{_ALL}/{{pricing_override_id}}"
_NARROWED = (
    Parameter("scope_kind", "text", "only overrides of this kind", choices=_SCOPE_KINDS),
    *(Parameter(name, "text", f"only overrides of this {name}") for name in SCOPE_IDS),
)
_OVERRIDE = change("pricing_override", PricingOverrideEntity)
_LIST = Contract(
    says="List pricing overrides",
    query=(*STRICT_PAGE, *_NARROWED),
    answer=page("pricing_overrides", PricingOverrideEntity),
)
_CREATE = Contract(
    says="Give some models other prices, for some callers", body=PricingOverrideCreate, answer=_OVERRIDE, status=201
)
_READ = Contract(says="Read a pricing override", answer=one("pricing_override", PricingOverrideEntity))
_UPDATE = Contract(says="Update a pricing override; null clears", body=PricingOverrideUpdate, answer=_OVERRIDE)
_DELETE = Contract(says="Delete a pricing override", answer=change())

ROUTES = (
    Route("GET", _ALL, "read", list_pricing_overrides, _LIST),
    Route("POST", _ALL, "admin", create_pricing_override, _CREATE),
    Route("GET", _ONE, "read", get_pricing_override, _READ),
    Route("PUT", _ONE, "admin", update_pricing_override, _UPDATE),
    Route("DELETE", _ONE, "admin", delete_pricing_override, _DELETE),
)
