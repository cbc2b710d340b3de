"""Meters in Redis: one hash per tenant, written by merging absolute states and read whole when it changed."""

import asyncio
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import msgspec

from service.counters.client import CounterClient, ScriptCall, load_script
from service.counters.keys import METERS_TTL_SECONDS, meters_key, state_start
from service.domain.meters import MeterState, MeterWindow, Tenant
from service.domain.windows import from_us, to_us

# Bounds on how long one script holds the server, and one round trip the connection.
_METERS_PER_MERGE = 500
_METERS_PER_READ = 1000
_TENANTS_PER_READ = 100
_CALLS_PER_ROUND_TRIP = 40
_READS_OF_ONE_TENANT_PER_ROUND_TRIP = 500

UNKNOWN_VERSION = "?"

# Epoch, window start in microseconds, used; no longer than each can be.
_STATE = re.compile(r"([0-9]{1,10}):([0-9]{1,16}):([0-9]{1,19})")

_MERGE = load_script("merge_meters")
_READ = load_script("read_tenants")
_READ_METERS = load_script("read_meters")
_answer_decoder = msgspec.msgpack.Decoder(list[msgspec.Raw])
_fields_decoder = msgspec.msgpack.Decoder(list[str])
_UNCHANGED = msgspec.msgpack.encode(False)
T = TypeVar("T")


class TenantCounters(msgspec.Struct, frozen=True):
    """All meters of one tenant at one version; `states` is as stored, to be read with `state_of`."""

    version: str
    states: Mapping[str, str]

    def state_of(self, meter_id: str) -> MeterState | None:
        """None for a meter that is cold: not in Redis, or not readable there."""
        return _parse_state(self.states.get(meter_id, ""))


async def read_tenants(client: CounterClient, known_versions: Mapping[Tenant, str]) -> dict[Tenant, TenantCounters]:
    """The counters of those tenants that are no longer at the version known of them.

    One round trip for up to 4000 tenants; to a cluster, whose servers take the keys of one tenant a call, for up to
    500. Raises CountersUnavailableError.
    """
    tenants = list(known_versions)
    chunks = list(_chunks(tenants, 1 if client.is_cluster else _TENANTS_PER_READ))
    together = _READS_OF_ONE_TENANT_PER_ROUND_TRIP if client.is_cluster else _CALLS_PER_ROUND_TRIP
    calls = [
        ScriptCall(
            _READ,
            [meters_key(tenant) for tenant in chunk],
            msgspec.msgpack.encode([known_versions[tenant] for tenant in chunk]),
        )
        for chunk in chunks
    ]
    changed: dict[Tenant, TenantCounters] = {}
    for chunk, answer in zip(chunks, await _run_all(client, calls, together), strict=True):
        for tenant, told in zip(chunk, _answer_decoder.decode(answer), strict=True):
            if bytes(told) != _UNCHANGED:
                changed[tenant] = _tenant_counters(_fields_decoder.decode(told))
                await asyncio.sleep(0)  # others' turn: many tenants are many thousand meters
    return changed


async def read_meters(client: CounterClient, meter_ids: Mapping[Tenant, Sequence[str]]) -> dict[str, MeterState]:
    """The state of each of these meters that is not cold. Raises CountersUnavailableError."""
    chunks = [
        (tenant, chunk)
        for tenant, ids_of_tenant in meter_ids.items()
        for chunk in _chunks(ids_of_tenant, _METERS_PER_READ)
    ]
    calls = [
        ScriptCall(_READ_METERS, [meters_key(tenant)], msgspec.msgpack.encode(list(chunk))) for tenant, chunk in chunks
    ]
    found: dict[str, MeterState] = {}
    for (_, chunk), answer in zip(chunks, await _run_all(client, calls), strict=True):
        states = map(_parse_state, msgspec.msgpack.decode(answer, type=list[str]))
        found |= {meter_id: state for meter_id, state in zip(chunk, states, strict=True) if state is not None}
    return found


def states_of(windows: Iterable[MeterWindow]) -> list[str]:
    """As merge_meters.lua takes them: three texts for each window, one after the other."""
    texts: list[str] = []
    for window in windows:
        texts += (window.meter_id, state_start(window.epoch, to_us(window.window_start)), str(window.used))
    return texts


async def merge_windows(client: CounterClient, windows: Sequence[MeterWindow]) -> int:
    """Make Redis stand at least where these totals stand; answers how many it was behind on.

    Idempotent. Raises CountersUnavailableError.
    """
    by_tenant: defaultdict[Tenant, list[MeterWindow]] = defaultdict(list)
    for window in windows:
        by_tenant[window.tenant].append(window)
    calls = [
        ScriptCall(_MERGE, [meters_key(tenant)], msgspec.msgpack.encode((METERS_TTL_SECONDS, states_of(chunk))))
        for tenant, of_tenant in by_tenant.items()
        for chunk in _chunks(of_tenant, _METERS_PER_MERGE)
    ]
    return sum(msgspec.msgpack.decode(answer, type=int) for answer in await _run_all(client, calls))


async def _run_all(
    client: CounterClient, calls: Sequence[ScriptCall], together: int = _CALLS_PER_ROUND_TRIP
) -> list[bytes]:
    answers: list[bytes] = []
    for chunk in _chunks(calls, together):
        answers += await client.run(chunk)
    return answers


def _parse_state(stored: str) -> MeterState | None:
    match = _STATE.fullmatch(stored)
    if match is None:
        return None
    return MeterState(int(match[1]), from_us(int(match[2])), int(match[3]))


def _tenant_counters(fields: list[str]) -> TenantCounters:
    states = dict(zip(fields[::2], fields[1::2], strict=True))
    return TenantCounters(version=states.pop("version", ""), states=states)


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
