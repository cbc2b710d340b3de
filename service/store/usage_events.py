"""The ledger as it is read: its events, newest first."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from msgspec import Raw

from service.domain.usage import Charge, UsageStatus
from service.store.postgres import Connection
from service.store.queries import queries
from service.store.trees import Row


class EventFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Events that match all that is given, recorded from `from_at` on and before `to_at`."""

    customer_id: str | None = None
    team_id: str | None = None
    virtual_key_id: str | None = None
    provider: str | None = None
    model: str | None = None
    status: str | None = None
    request_id: str | None = None
    from_at: datetime | None = None
    to_at: datetime | None = None

    @property
    def passes_by(self) -> bool:
        """Whether events are looked at that are not answered: what no index is in the order of."""
        owners = [owner for owner in (self.virtual_key_id, self.team_id, self.customer_id) if owner]
        return len(owners) > 1 or any((self.provider, self.model, self.status))


class EventPlace(msgspec.Struct, frozen=True):
    """Where an event is in the order of the ledger."""

    recorded_at: datetime
    id: int


class RecordedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event as it is kept."""

    id: int
    request_id: str
    tenant_id: str
    customer_id: str | None
    team_id: str | None
    virtual_key_id: str
    provider: str
    model: str
    status: UsageStatus
    input_tokens: int
    output_tokens: int
    cached_input_tokens: int
    cost_nanousd: int
    priced: bool
    occurred_at: datetime
    recorded_at: datetime
    metadata: Raw | None
    charges: tuple[Charge, ...]


async def list_usage_events(
    connection: Connection, narrowed: EventFilter, *, before: EventPlace | None, scan_limit: int, limit: int
) -> list[RecordedEvent]:
    """The newest events before `before`, found among `scan_limit` of them."""
    rows = queries.list_usage_events(
        connection,
        **msgspec.structs.asdict(narrowed),
        **columns_before(before),
        scan_limit=scan_limit,
        page_limit=limit,
    )
    return [_event(row) async for row in rows]


async def find_last_scanned_event(
    connection: Connection, narrowed: EventFilter, *, before: EventPlace | None, scan_limit: int
) -> EventPlace | None:
    """The last of the `scan_limit` events that `list_usage_events` looks at; None when there are fewer."""
    looked_at = {name: value for name, value in msgspec.structs.asdict(narrowed).items() if name not in _LOOKED_FOR}
    row = await queries.find_last_scanned_event(
        connection, **looked_at, **columns_before(before), scan_limit=scan_limit
    )
    return None if row is None else EventPlace(row["recorded_at"], row["id"])


def columns_before(place: EventPlace | None) -> dict[str, object]:
    """As the queries name the event a page comes before."""
    return {
        "before_at": None if place is None else place.recorded_at,
        "before_id": None if place is None else place.id,
    }


_LOOKED_FOR = ("provider", "model", "status")
_CHARGE_COLUMNS = ("charge_meter_ids", "charge_epochs", "charge_window_starts", "charge_amounts")


def _event(row: Row) -> RecordedEvent:
    columns = {name: row[name] for name in RecordedEvent.__struct_fields__ if name != "charges"}
    return RecordedEvent(**columns, charges=tuple(_charges([row[name] for name in _CHARGE_COLUMNS])))


def _charges(columns: Sequence[Sequence[object]]) -> list[Charge]:
    return [Charge(*charge) for charge in zip(*columns, strict=True)]
