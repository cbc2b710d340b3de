"""Usage: what one request used, and which meters it is charged to."""

from datetime import datetime
from typing import Literal

import msgspec

UsageStatus = Literal["success", "error", "cancelled", "expired"]


class Charge(msgspec.Struct, frozen=True):
    """What one request adds to one meter, in the meter's unit, in the window the request was admitted in."""

    meter_id: str
    epoch: int
    window_start: datetime
    amount: int


class UsageEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One request's usage. `fingerprint` tells a repeated report from a different one under the same id."""

    request_id: str
    fingerprint: bytes
    tenant_id: str
    virtual_key_id: str
    team_id: str | None = None
    customer_id: str | None = None
    provider: str = ""
    model: str = ""
    status: UsageStatus = "success"
    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    cost_nanousd: int = 0
    priced: bool = True
    occurred_at: datetime
    charges: tuple[Charge, ...] = ()
