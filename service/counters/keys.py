"""The names of keys in Redis. The braces make all keys of a tenant one slot of a Redis Cluster."""

from service.domain.meters import Tenant

# Longer than any gap between two uses that matters; a hash that expired is cold and is loaded again.
METERS_TTL_SECONDS = 35 * 86_400


def meters_key(tenant: Tenant) -> str:
    return f"gov:{{{tenant.id}}}:meters:{tenant.layout}"
