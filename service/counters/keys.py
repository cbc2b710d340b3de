"""The names of keys and fields in Redis. The braces make all keys of a tenant one slot of a Redis Cluster."""

from service.domain.meters import Tenant

# Longer than any gap between two uses that matters; a hash that expired is cold and is loaded again.
METERS_TTL_SECONDS = 35 * 86_400


def state_start(epoch: int, window_start_us: int) -> str:
    """What the state of a meter in this window begins with; what is used comes after it."""
    return f"{epoch}:{window_start_us}:"


def held_field(meter_id: str, epoch: int, window_start_us: int) -> str:
    """Where in a tenant's hash of what is held it is; that of parallel calls, which have no window, is the meter id."""
    return f"{meter_id} in {state_start(epoch, window_start_us)}"


def meters_key(tenant: Tenant) -> str:
    return f"gov:{{{tenant.id}}}:meters:{tenant.layout}"
