"""What a worker knows of the holds it admitted, so that settling one needs no question; bounded, Redis knows all."""

import msgspec

_MOST_HOLDS = 50_000


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
    """By request id, the tenant whose limits hold the call."""

    def __init__(self) -> None:
        self._tenants: dict[str, str] = {}

    def add(self, request_id: str, tenant_id: str) -> None:
        self._tenants[request_id] = tenant_id
        if len(self._tenants) > _MOST_HOLDS:
            del self._tenants[next(iter(self._tenants))]

    def tenant_of(self, request_id: str) -> str | None:
        return self._tenants.get(request_id)

    def end(self, request_id: str) -> None:
        self._tenants.pop(request_id, None)

    def tenants(self) -> set[str]:
        return set(self._tenants.values())
