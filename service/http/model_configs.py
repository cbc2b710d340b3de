"""Model configs, limits for one model and provider: reads with live usage, and changes."""

from aiohttp import web

from service.domain.entities import ModelConfig
from service.domain.inputs.model_configs import ModelConfigCreate, ModelConfigUpdate
from service.governance.changes import model_configs as changes
from service.governance.changes.change import Change
from service.governance.tree.shown import show_model_configs
from service.http.changing import creates, deletes, updates
from service.http.contract import (
    API,
    FROM_MEMORY,
    STRICT_LIMIT,
    STRICT_OFFSET,
    Contract,
    Parameter,
    Route,
    change,
    one,
    page,
)
from service.http.errors import ApiError, bad_request
from service.http.parameters import query_flag, query_text
from service.http.reading import ENTITY_READER, list_response, query_page, reads
from service.store.model_configs import ModelConfigQuery, list_model_config_ids

# Scopes of the wire. Of all but the first two there is nothing here.
_SCOPES = frozenset({"global", "virtual_key", "user", "project", "access_profile"})


async def list_model_configs(request: web.Request) -> web.StreamResponse:
    """Model configs, oldest first. `from_memory` changes nothing: usage is always live."""
    query_flag(request, "from_memory")
    asked = query_page(request, strict=True)
    query = ModelConfigQuery(
        search=asked.search,
        scopes=_scopes(request),
        scope_id=query_text(request, "scope_id"),
        provider=query_text(request, "provider"),
        limit=asked.limit,
        offset=asked.offset,
    )
    ids = await request.app[ENTITY_READER].list_ids(list_model_config_ids, query)
    return await list_response(request, "model_configs", show_model_configs, ids, asked)


async def _create(change: Change, given: ModelConfigCreate) -> bytes:
    if given.scope == "user":
        raise ApiError(403, "Model configs of scope 'user' can no longer be created", path="$.scope")
    return await changes.create_model_config(change, given)


get_model_config = reads("model_config", "Model config", show_model_configs, id_name="model_config_id")
create_model_config = creates("model_config", "Model config created successfully", ModelConfigCreate, _create)
update_model_config = updates(
    "model_config",
    "Model config updated successfully",
    ModelConfigUpdate,
    changes.update_model_config,
    id_name="model_config_id",
)
delete_model_config = deletes(
    "Model config deleted successfully", changes.delete_model_config, id_name="model_config_id"
)


def _scopes(request: web.Request) -> list[str] | None:
    text = query_text(request, "scope")
    if text is None:
        return None
    scopes = [scope.strip() for scope in text.split(",")]
    unknown = next((scope for scope in scopes if scope not in _SCOPES), None)
    if unknown is not None:
        raise bad_request("query parameter 'scope' must be a comma-separated list of: global, virtual_key")
    return scopes


_ONE = f"{API}/model-configs/{{model_config_id}}"
_SCOPE = f"({'|'.join(sorted(_SCOPES))})"
_SCOPE_LIST = {"pattern": f"^({_SCOPE}(,{_SCOPE})*)?$"}
_QUERY = (
    STRICT_LIMIT,
    STRICT_OFFSET,
    Parameter("search", "text", "what the model's name holds, in any case"),
    Parameter("scope", "text", "a comma-separated list of global, virtual_key", narrowed=_SCOPE_LIST),
    Parameter("scope_id", "text", "only those of this virtual key"),
    Parameter("provider", "text", "only those of this provider"),
    FROM_MEMORY,
)
_LIST = Contract(says="List model configs", query=_QUERY, answer=page("model_configs", ModelConfig))
_CREATE = Contract(
    says="Limit a model, a provider, or both", body=ModelConfigCreate, answer=change("model_config", ModelConfig)
)
_READ = Contract(says="Read a model config", answer=one("model_config", ModelConfig))
_UPDATE = Contract(says="Update a model config", body=ModelConfigUpdate, answer=change("model_config", ModelConfig))
_DELETE = Contract(says="Delete a model config with its limits", answer=change())

ROUTES = (
    Route("GET", f"{API}/model-configs", "read", list_model_configs, _LIST),
    Route("POST", f"{API}/model-configs", "admin", create_model_config, _CREATE),
    Route("GET", _ONE, "read", get_model_config, _READ),
    Route("PUT", _ONE, "admin", update_model_config, _UPDATE),
    Route("DELETE", _ONE, "admin", delete_model_config, _DELETE),
)
