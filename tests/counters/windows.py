"""Meter windows for tests of the counters."""

from datetime import UTC, datetime, timedelta

from service.domain.meters import MeterWindow, Tenant

EARLIEST = datetime(2026, 1, 1, tzinfo=UTC)


def tenant(name: str = "acme") -> Tenant:
    return Tenant(f"customer:{name}", 1)


def window(
    *, name: str = "acme", meter_id: str = "budget:b", epoch: int = 1, day: int = 0, used: int = 0
) -> MeterWindow:
    """The window that starts `day` days after `EARLIEST`."""
    return MeterWindow(meter_id, tenant(name), epoch, EARLIEST + timedelta(days=day), used)
