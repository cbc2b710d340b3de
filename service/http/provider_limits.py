"""Limits of whole providers, deployment-wide: reads with live usage, and changes."""

from service.domain.inputs.model_configs import ProviderLimitsUpdate
from service.governance.changes import provider_limits as changes
from service.governance.tree.provider_limits import ProviderLimits, show_provider_limits
from service.http.changing import deletes, updates
from service.http.contract import API, FROM_MEMORY, Contract, Route, change
from service.http.reading import lists_all
from service.store.model_configs import list_provider_names

list_provider_limits = lists_all("providers", show_provider_limits, list_provider_names, empty=b"null")
update_provider_limits = updates(
    "provider",
    "Provider governance updated successfully",
    ProviderLimitsUpdate,
    changes.update_provider_limits,
    id_name="provider_name",
)
delete_provider_limits = deletes(
    "Provider governance deleted successfully", changes.delete_provider_limits, id_name="provider_name"
)

_ONE = f"{API}/providers/{{provider_name}}"
_LIST = Contract(
    says="List the providers that have limits; null when none has",
    query=(FROM_MEMORY,),
    answer={"providers": list[ProviderLimits] | None, "count": int},
)
_UPDATE = Contract(
    says="Set a provider's limits; with none left it is no longer listed",
    body=ProviderLimitsUpdate,
    answer=change("provider", ProviderLimits),
)
_DELETE = Contract(says="Remove a provider's limits, if it has any", answer=change())

ROUTES = (
    Route("GET", f"{API}/providers", "read", list_provider_limits, _LIST),
    Route("PUT", _ONE, "admin", update_provider_limits, _UPDATE),
    Route("DELETE", _ONE, "admin", delete_provider_limits, _DELETE),
)
