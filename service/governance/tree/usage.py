"""The states of meters: live from Redis, what is cold there from the ledger, or all of it from the ledger."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal, TypeVar

from service.counters.client import CounterClient
from service.counters.meters import merge_windows, read_meters
from service.domain.meters import Meter, MeterState, MeterWindow, Tenant
from service.store.ledger import load_meter_states
from service.store.postgres import Store

UsageSource = Literal["live", "ledger"]

# What is computed of so many at once holds the event loop for some milliseconds.
_METERS_PER_LOAD = 1000
T = TypeVar("T")


class Usage:
    """Reads meters from both stores."""

    def __init__(self, store: Store, counters: CounterClient) -> None:
        self._store = store
        self._counters = counters

    async def live(self, meters: Mapping[Tenant, Sequence[Meter]], *, now: datetime) -> dict[str, MeterState]:
        """Every meter's state, at its epoch or a newer one. Raises CountersUnavailableError, StoreUnavailableError."""
        asked = {tenant: [meter.id for meter in of_tenant] for tenant, of_tenant in meters.items()}
        found = await read_meters(self._counters, asked)
        cold: list[tuple[Tenant, Meter]] = []
        for tenant, of_tenant in meters.items():
            for meter in of_tenant:
                if meter.id not in found or not is_warm(meter, found[meter.id]):
                    cold.append((tenant, meter))  # noqa: PERF401  # two loops in one comprehension read worse
        return found | await self.load_cold(cold, now=now)

    async def load_cold(self, cold: Sequence[tuple[Tenant, Meter]], *, now: datetime) -> dict[str, MeterState]:
        """Load meters Redis does not have from the ledger, and merge them there."""
        loaded: dict[str, MeterState] = {}
        for chunk in _chunks(cold, _METERS_PER_LOAD):
            states = await self._load([meter for _, meter in chunk], now=now)
            await merge_windows(self._counters, [_window(tenant, meter, states) for tenant, meter in chunk])
            loaded |= states
        return loaded

    async def in_ledger(self, meters: Sequence[Meter], *, now: datetime) -> dict[str, MeterState]:
        """Without asking Redis. Raises StoreUnavailableError."""
        states: dict[str, MeterState] = {}
        for chunk in _chunks(meters, _METERS_PER_LOAD):
            states |= await self._load(chunk, now=now)
        return states

    async def _load(self, meters: Sequence[Meter], *, now: datetime) -> dict[str, MeterState]:
        async with self._store.connection() as connection:
            return await load_meter_states(connection, meters, now=now)


def is_warm(meter: Meter, state: MeterState) -> bool:
    """Of an epoch older than the configuration's, Redis has nothing to say."""
    return state.epoch >= meter.epoch


def _window(tenant: Tenant, meter: Meter, states: Mapping[str, MeterState]) -> MeterWindow:
    state = states[meter.id]
    return MeterWindow(meter.id, tenant, state.epoch, state.window_start, state.used)


def _chunks(items: Sequence[T], size: int) -> Iterable[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
