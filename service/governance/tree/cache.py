"""What reads of the tree keep between them: per tenant its template and its finished JSON, bounded by bytes."""

from collections import OrderedDict
from datetime import datetime

import msgspec

from service.counters.meters import UNKNOWN_VERSION
from service.governance.configuration import etag_of
from service.governance.tree.parts import TenantFragment, TenantTemplate


class CachedTenant(msgspec.Struct):
    """A tenant at one revision. `fragment` is its JSON at `counters_version`, until the first of its windows ends."""

    revision: int
    template: TenantTemplate
    counters_version: str = UNKNOWN_VERSION
    fragment: TenantFragment | None = None
    _etag: str = ""

    def etag(self) -> str:
        """The entity tag of the customer, made when it is first asked for."""
        self._etag = self._etag or etag_of(self.template.itself)
        return self._etag

    def known_version(self, now: datetime) -> str:
        """The counters version at which the fragment may be used again at `now`."""
        if self.fragment is None:
            return UNKNOWN_VERSION
        valid_until = self.fragment.valid_until
        if valid_until is not None and now >= valid_until:
            return UNKNOWN_VERSION
        return self.counters_version


class TreeCache:
    """Least recently used out first, once the templates and fragments take more than `max_bytes`."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._tenants: OrderedDict[str, CachedTenant] = OrderedDict()
        self.size_bytes = 0
        # Tenants answered from here, and loaded because they were not, or no longer, here.
        self.hits = 0
        self.misses = 0

    def get(self, tenant_id: str, revision: int, *, now: datetime) -> CachedTenant | None:
        """The tenant as it is at `revision`; None when that must be loaded."""
        cached = self._tenants.get(tenant_id)
        if cached is None or not _is_current(cached, revision, now):
            return None
        self.hits += 1
        self._tenants.move_to_end(tenant_id)
        return cached

    def peek(self, tenant_id: str) -> CachedTenant | None:
        """The tenant at whatever revision it is kept; that is no use of it."""
        return self._tenants.get(tenant_id)

    def put(self, tenant_id: str, cached: CachedTenant) -> None:
        self.misses += 1
        replaced = self._tenants.pop(tenant_id, None)
        if replaced is not None:
            self.size_bytes -= replaced.template.size_bytes
        self._tenants[tenant_id] = cached
        self.size_bytes += cached.template.size_bytes
        while self.size_bytes > self._max_bytes:
            _, oldest = self._tenants.popitem(last=False)
            self.size_bytes -= oldest.template.size_bytes


def _is_current(cached: CachedTenant, revision: int, now: datetime) -> bool:
    template_until = cached.template.valid_until
    return cached.revision == revision and (template_until is None or now < template_until)
