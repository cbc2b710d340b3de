"""Usage: what one request used, and which meters it is charged to."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec

# What a report says became of a call. Beside these the ledger has `expired`, a hold nobody reported, and `late`, what a
# report said beyond such a one.
ReportedStatus = Literal["success", "error", "cancelled"]
UsageStatus = Literal["success", "error", "cancelled", "expired", "late"]
# Of the id under which the ledger has what a late report adds to an expired call.
LATE_SUFFIX = ":late"


class Charge(msgspec.Struct, frozen=True):
    """What one request has added to one meter, in the meter's unit, in the window the request was admitted in."""

    meter_id: str
    epoch: int
    window_start: datetime
    amount: int


class MeterCharge(msgspec.Struct, frozen=True, gc=False):
    """The same before it is booked. `live_only` meters are counted in Redis and not in the ledger."""

    meter_id: str
    epoch: int
    window_start_us: int
    amount: int
    live_only: bool = False


class UsageEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One request's usage. `fingerprint` tells a repeated report from a different one under the same id.

    `charges` are those of the ledger.
    """

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
    metadata: dict[str, Any] | None = None
    charges: Sequence[MeterCharge] = ()
