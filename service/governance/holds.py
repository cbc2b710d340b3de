"""What a worker knows of the holds it admitted, and of whose they are; bounded, Redis knows all."""

from collections import OrderedDict
from collections.abc import Set

import msgspec

_MOST_HOLDS = 50_000
# All of them at a time would keep the event loop for milliseconds.
_HOLDS_PER_LOOK = 2_000
_MOST_NOTED = 100_000
_TENANTS_PER_LOOK = 2_000
_NOTE_EVERY_US = 30_000_000
# For so long after it was noted a tenant stays in the list of those that may have holds, whether it has any or not.
QUIET_US = 120_000_000


class HoldDetails(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a hold says of its call, beside its meters. `has_global`: limits of the whole deployment hold it too.

    `tokens` and `cost_nanousd` are what was estimated.
    """

    tenant_id: str
    virtual_key_id: str
    team_id: str | None
    customer_id: str | None
    provider: str | None
    model: str | None
    tokens: int | None
    cost_nanousd: int | None
    admitted_us: int
    has_global: bool


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(HoldDetails).decode


def encode_details(details: HoldDetails) -> str:
    return _encode(details).decode()


def decode_details(details: str) -> HoldDetails:
    return _decode(details)


class KnownHolds:
    """By request id, the tenant whose limits hold the call, until it ends here or expires: settling asks nobody."""

    def __init__(self) -> None:
        # Not a dict: finding its first entry takes the longer the more were taken out before it.
        self._holds: OrderedDict[str, tuple[str, int]] = OrderedDict()
        self._to_look_at: list[str] = []

    def add(self, request_id: str, tenant_id: str, expires_us: int) -> None:
        self._holds[request_id] = tenant_id, expires_us
        if len(self._holds) > _MOST_HOLDS:
            self._holds.popitem(last=False)

    def tenant_of(self, request_id: str) -> str | None:
        hold = self._holds.get(request_id)
        return None if hold is None else hold[0]

    def end(self, request_id: str) -> None:
        self._holds.pop(request_id, None)

    def expired(self, now_us: int) -> dict[str, str]:
        """By request id, the tenants of some that nobody ended here before they expired: all, in a few looks."""
        self._to_look_at = self._to_look_at or list(self._holds)
        looked_at = self._to_look_at[-_HOLDS_PER_LOOK:]
        del self._to_look_at[-_HOLDS_PER_LOOK:]
        known = ((request_id, self._holds.get(request_id)) for request_id in looked_at)
        return {request_id: hold[0] for request_id, hold in known if hold is not None and hold[1] <= now_us}


class NotedTenants:
    """The tenants that this worker noted in Redis, where whoever looks for expired holds finds them, and when."""

    def __init__(self) -> None:
        self._noted: dict[str, int] = {}
        self._to_look_at: list[str] = []

    def add(self, tenant_id: str, now_us: int) -> None:
        if len(self._noted) >= _MOST_NOTED:
            self._noted.clear()
        self._noted[tenant_id] = now_us

    def is_recent(self, tenant_id: str, now_us: int) -> bool:
        """Whether it need not be noted again."""
        return now_us - self._noted.get(tenant_id, 0) < _NOTE_EVERY_US

    def lost(self, listed: Set[str], now_us: int) -> list[str]:
        """Some that Redis must have lost, since they are not listed so soon: all, in a few looks."""
        self._to_look_at = self._to_look_at or list(self._noted)
        looked_at = self._to_look_at[-_TENANTS_PER_LOOK:]
        del self._to_look_at[-_TENANTS_PER_LOOK:]
        return [each for each in looked_at if each not in listed and now_us - self._noted.get(each, 0) < QUIET_US]
