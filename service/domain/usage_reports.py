"""What reads of usage answer: sums, and the events of the ledger. Money is in USD here and only here."""

from typing import Literal, get_args

import msgspec
from msgspec import UNSET, Raw, UnsetType

from service.domain.entities import Instant
from service.domain.usage import UsageStatus

GroupName = Literal["customer", "team", "virtual_key", "provider", "model"]
GROUP_NAMES: tuple[GroupName, ...] = get_args(GroupName)


class UsageSums(msgspec.Struct, kw_only=True):
    """`errors` are requests that failed or were cancelled; `cached_input_tokens` are input tokens; `cost` is in USD."""

    requests: int
    errors: int
    input_tokens: int
    output_tokens: int
    cached_input_tokens: int
    total_tokens: int
    cost: float


class UsageRow(UsageSums, kw_only=True):
    """The sums of one group in one part of time: `start` is there with an interval, the rest when it is grouped by."""

    start: Instant | UnsetType = UNSET
    customer_id: str | UnsetType | None = UNSET
    team_id: str | UnsetType | None = UNSET
    virtual_key_id: str | UnsetType = UNSET
    provider: str | UnsetType = UNSET
    model: str | UnsetType = UNSET


class EventCharge(msgspec.Struct, kw_only=True):
    """What an event added to one limit's window: US dollars to a budget, else tokens or requests."""

    meter: str
    limit_id: str
    kind: str
    epoch: int
    window_start: Instant
    amount: float


class LedgerEvent(msgspec.Struct, kw_only=True):
    """One acknowledged use of a virtual key. Ids and names are those of the moment it was used in."""

    id: int
    request_id: str
    recorded_at: Instant
    occurred_at: Instant
    customer_id: str | None
    team_id: str | None
    virtual_key_id: str
    provider: str
    model: str
    status: UsageStatus
    input_tokens: int
    output_tokens: int
    cached_input_tokens: int
    total_tokens: int
    cost: float
    priced: bool
    metadata: Raw | UnsetType = UNSET
    charges: list[EventCharge]
