"""The ledger itself, newest first: each page costs the same, however deep it is and however few events match."""

import msgspec

from service.store.postgres import Store
from service.store.usage_events import (
    EventFilter,
    EventPlace,
    RecordedEvent,
    find_last_scanned_event,
    list_usage_events,
)
from service.store.usage_sums import plan_for_these_values

# Of what no index finds, a page looks through so many events: then it ends, full or not.
_SCANNED_PER_PAGE = 20_000


class EventPage(msgspec.Struct, frozen=True):
    """`following` is None when no event is left to look at."""

    events: list[RecordedEvent]
    following: EventPlace | None


async def read_event_page(store: Store, narrowed: EventFilter, before: EventPlace | None, *, limit: int) -> EventPage:
    """At most `limit` events. Raises StoreUnavailableError."""
    scan_limit = _SCANNED_PER_PAGE if narrowed.passes_by else limit + 1
    async with store.snapshot() as snapshot:
        await plan_for_these_values(snapshot)
        events = await list_usage_events(snapshot, narrowed, before=before, scan_limit=scan_limit, limit=limit + 1)
        if len(events) > limit:
            last = events[limit - 1]
            return EventPage(events[:limit], EventPlace(last.recorded_at, last.id))
        if not narrowed.passes_by:
            return EventPage(events, None)
        return EventPage(
            events, await find_last_scanned_event(snapshot, narrowed, before=before, scan_limit=scan_limit)
        )
