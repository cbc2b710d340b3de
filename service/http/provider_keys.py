"""Provider keys: reads, with their secrets redacted for everyone, and changes."""

from aiohttp import web

from service.domain.catalogue import ProviderKeyEntity
from service.domain.inputs.provider_keys import ProviderKeyCreate, ProviderKeyUpdate
from service.governance.catalogue import show_provider_keys
from service.governance.changes import provider_keys as changes
from service.http.changing import creates, deletes, updates
from service.http.contract import API, PAGE, Contract, Parameter, Route, change, one, page
from service.http.parameters import query_text
from service.http.reading import ENTITY_READER, list_response, query_page, reads
from service.store.provider_keys import ProviderKeyQuery, list_provider_key_ids


async def list_provider_keys(request: web.Request) -> web.StreamResponse:
    """Provider keys, oldest first."""
    asked = query_page(request)
    query = ProviderKeyQuery(
        provider=query_text(request, "provider"), search=asked.search, limit=asked.limit, offset=asked.offset
    )
    ids = await request.app[ENTITY_READER].list_ids(list_provider_key_ids, query)
    return await list_response(request, "provider_keys", show_provider_keys, ids, asked)


get_provider_key = reads("provider_key", "Provider key", show_provider_keys, id_name="provider_key_id")
create_provider_key = creates(
    "provider_key", "Provider key created successfully", ProviderKeyCreate, changes.create_provider_key
)
update_provider_key = updates(
    "provider_key",
    "Provider key updated successfully",
    ProviderKeyUpdate,
    changes.update_provider_key,
    id_name="provider_key_id",
)
delete_provider_key = deletes(
    "Provider key deleted successfully", changes.delete_provider_key, id_name="provider_key_id"
)

_ALL = f"{API}/provider-keys"
_ONE = f"{_ALL}/{{provider_key_id}}"
_PROVIDER = Parameter("provider", "text", "only keys of this provider")
_KEY = change("provider_key", ProviderKeyEntity)
_LIST = Contract(says="List provider keys", query=(*PAGE, _PROVIDER), answer=page("provider_keys", ProviderKeyEntity))
_CREATE = Contract(says="Create a provider key; its secrets are never shown again", body=ProviderKeyCreate, answer=_KEY)
_READ = Contract(says="Read a provider key", answer=one("provider_key", ProviderKeyEntity))
_UPDATE = Contract(says="Update a provider key, or replace its secrets", body=ProviderKeyUpdate, answer=_KEY)
_DELETE = Contract(says="Delete a provider key; virtual keys that are pinned to it lose it", answer=change())

ROUTES = (
    Route("GET", _ALL, "read", list_provider_keys, _LIST),
    Route("POST", _ALL, "admin", create_provider_key, _CREATE),
    Route("GET", _ONE, "read", get_provider_key, _READ),
    Route("PUT", _ONE, "admin", update_provider_key, _UPDATE),
    Route("DELETE", _ONE, "admin", delete_provider_key, _DELETE),
)
