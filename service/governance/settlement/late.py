"""Reports of calls whose holds had expired: what the expiry booked is made up for, so that a call is charged once.

A row of the ledger is never changed, and totals only grow: where the report says more than was booked, the difference
is booked as an event of its own. Where it says less, what was booked stays.
"""

from typing import Literal

import msgspec

from service.domain.usage import LATE_SUFFIX, MeterCharge, UsageEvent
from service.domain.windows import to_us
from service.governance.settlement.group_commit import GroupCommit
from service.governance.settlement.waiting import Booking
from service.store.postgres import Store
from service.store.trees import Row
from service.store.usage_reports import find_booked_events, find_reports


class Late:
    """Books the differences."""

    def __init__(self, store: Store, group_commit: GroupCommit) -> None:
        self._store = store
        self._group_commit = group_commit

    async def make_up(self, event: UsageEvent) -> Literal["recorded", "duplicate", "conflict"]:
        """Raises StoreUnavailableError: the report may be sent again then."""
        async with self._store.connection() as connection:
            reports = await find_reports(connection, [event.request_id])
            booked = (await find_booked_events(connection, reports)).get(event.request_id)
        if booked is None or booked["virtual_key_id"] != event.virtual_key_id:
            # Dropped with the day it was recorded on; or another virtual key's call.
            return "conflict"
        (answer,) = await self._group_commit.book([Booking(event=_difference(event, booked))])
        return "conflict" if answer == "expired" else answer


def _difference(event: UsageEvent, booked: Row) -> UsageEvent:
    def more(name: str) -> int:
        difference: int = getattr(event, name) - booked[name]
        return max(difference, 0)

    amounts = {(charge.meter_id, charge.epoch): charge.amount for charge in event.charges}
    charges = zip(
        booked["charge_meter_ids"],
        booked["charge_epochs"],
        booked["charge_window_starts"],
        booked["charge_amounts"],
        strict=True,
    )
    kinds = _amounts_by_kind(event)
    # Of all tokens together, as they are limited: an estimate does not say which are output.
    tokens = kinds["tokens"] - booked["input_tokens"] - booked["output_tokens"]
    output_tokens = min(more("output_tokens"), max(tokens, 0))
    differences = (
        MeterCharge(meter_id, epoch, to_us(window_start), _amount(amounts, kinds, meter_id, epoch) - amount)
        for meter_id, epoch, window_start, amount in charges
    )
    return msgspec.structs.replace(
        event,
        request_id=event.request_id + LATE_SUFFIX,
        tenant_id=booked["tenant_id"],
        team_id=booked["team_id"],
        customer_id=booked["customer_id"],
        provider=booked["provider"],
        model=booked["model"],
        status="late",
        input_tokens=max(tokens, 0) - output_tokens,
        output_tokens=output_tokens,
        cached_input_tokens=more("cached_input_tokens"),
        cost_nanousd=more("cost_nanousd"),
        charges=tuple(charge for charge in differences if charge.amount > 0),
    )


def _amounts_by_kind(event: UsageEvent) -> dict[str, int]:
    return {"budget": event.cost_nanousd, "tokens": event.input_tokens + event.output_tokens, "requests": 1}


def _amount(amounts: dict[tuple[str, int], int], kinds: dict[str, int], meter_id: str, epoch: int) -> int:
    """What the report charges the meter with; by what it counts when the report did not meet it."""
    return amounts.get((meter_id, epoch), kinds.get(meter_id.partition(":")[0], 0))
