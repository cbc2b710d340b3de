"""Holds in Redis: what admitted, unfinished calls have reserved; admitted, settled and expired by scripts."""

from asyncio import gather
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import msgspec

from service.counters.batching import ScriptBatcher
from service.counters.client import ScriptCall, load_script
from service.counters.keys import METERS_TTL_SECONDS, meters_key, state_start
from service.counters.meters import states_of
from service.domain.meters import MeterWindow, Tenant

Outcome = Literal["ok", "refused", "repeated", "conflict", "ended", "cold", "stale", "ahead", "overdue"]
# An id that ended is refused for so long when it is used for another call.
FORGET_AFTER_US = 600_000_000

_AUTHORIZE = load_script("authorize")
_IDS_PER_CALL = 500
# Id, start of its state, kind, limit.
_TEXTS_OF_A_METER = 4

_INDEX = load_script("index_hold")
_FIND = load_script("find_holds")
_READ = load_script("read_holds")
_SETTLE = load_script("settle_holds")
_LIST_EXPIRED = load_script("list_expired_holds")
_NOTE = load_script("note_holding_tenant")
_LIST_HOLDING = load_script("list_holding_tenants")
_HOLDING_KEYS = ("gov:holding",)

_encode = msgspec.msgpack.Encoder().encode
_decode_strings = msgspec.msgpack.Decoder(list[str]).decode


class AskedHold(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a call would hold, as authorize.lua takes it. `details` come back with the hold."""

    request_id: str
    fingerprint: str
    details: str
    now_us: int
    expires_us: int
    reserve: bool


class AskedMeters(msgspec.Struct, frozen=True, gc=False):
    """`packed` is one `packed_meters` after the other, with an amount for each meter, packed too.

    The first `checked` are reserved on, others read.
    """

    packed: Sequence[bytes]
    amounts: Sequence[bytes]
    checked: int


class Admission(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`rest` is what authorize.lua answers beside its outcome: numbers, ids, an instant or a hold."""

    outcome: Outcome
    rest: str | int | list[str | int] | None = None


class HeldMeter(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a call holds of one meter: kind 'l' (in the ledger), 'r' (in Redis only) or 'p' (parallel calls)."""

    meter_id: str
    epoch: int
    window_start_us: int
    kind: str
    amount: str


class Hold(msgspec.Struct, frozen=True, gc=False):
    """A hold as it is stored."""

    request_id: str
    expires_us: int
    details: str
    meters: tuple[HeldMeter, ...]


class HoldsOfTenant(msgspec.Struct, frozen=True):
    """`expired` are among the `open` ones: they hold until they are ended. `ended` ids are remembered for a while."""

    open: int
    ended: int
    expired: Sequence[Hold]


class LiveUse(msgspec.Struct, frozen=True, gc=False):
    """Usage of a meter that is kept in Redis only; with `request_id` it counts as long as that call holds."""

    request_id: str
    meter_id: str
    epoch: int
    window_start_us: int
    amount: int


class Settled(msgspec.Struct, frozen=True):
    """What became of calls of one tenant: totals of the ledger, ids whose holds end, usage kept in Redis only.

    Ids that ended are refused for a while when they are used again, unless they are not to be remembered.
    """

    windows: Sequence[MeterWindow] = ()
    ended: Sequence[str] = ()
    uses: Sequence[LiveUse] = ()
    remember: bool = True


class _StoredHold(msgspec.Struct, frozen=True, array_like=True):
    fingerprint: str
    expires_us: int
    details: str
    meters: tuple[HeldMeter, ...]


_decode_count = msgspec.msgpack.Decoder(int).decode
_decode_admission = msgspec.msgpack.Decoder(Admission).decode
_decode_holds = msgspec.msgpack.Decoder(list[_StoredHold | bool]).decode
_decode_expired = msgspec.msgpack.Decoder(tuple[int, int, list[tuple[str, _StoredHold]]]).decode


async def authorize(batcher: ScriptBatcher, tenant: Tenant, asked: AskedHold, meters: AskedMeters) -> Admission:
    """Check and reserve, all or nothing. Raises CountersUnavailableError: it may have been reserved then."""
    index = _index_key(asked.request_id)
    keys: tuple[str, ...] = (*_keys(tenant), index)
    if batcher.is_cluster:
        keys = _keys(tenant)
        if asked.reserve:
            ttl_ms = (asked.expires_us - asked.now_us + FORGET_AFTER_US) // 1000
            await batcher.run(ScriptCall(_INDEX, (index,), _encode((tenant.id, ttl_ms))))
    count = len(meters.amounts)
    texts, amounts = b"".join(meters.packed), b"".join(meters.amounts)
    packed = b"\x92%b%b%b%b" % (_array_head(count * _TEXTS_OF_A_METER), texts, _array_head(count), amounts)
    # An array of two more: how many are checked, and the meters, packed by themselves.
    argument = b"\x98%b%b%b%b" % (_encode(asked)[1:], _encode(meters.checked), _text_head(len(packed)), packed)
    return _decode_admission(await batcher.submit(ScriptCall(_AUTHORIZE, keys, argument)))


def asked_meter(meter_id: str, kind: str, limit: int, window: tuple[int, int] | None) -> tuple[str, ...]:
    """A meter as authorize.lua takes it. `window` is its epoch and its start in µs, None for parallel calls.

    Kinds: 'l' kept in the ledger, 'r' in Redis only, 'p' parallel calls; a capital letter counts and never refuses.
    """
    return meter_id, "" if window is None else state_start(*window), kind, str(limit)


def packed_meters(texts: Sequence[str]) -> bytes:
    """Some meters, each an `asked_meter`, as they go into `AskedMeters`: without the head of the array."""
    return _encode(texts)[len(_array_head(len(texts))) :]


def asked_amount(amount: int | None) -> bytes:
    """Packed. None asks for any room at all, and reserves nothing."""
    return _encode("" if amount is None else str(amount))


async def settle(batcher: ScriptBatcher, tenant: Tenant, settled: Settled, *, now_us: int) -> int:
    """How many holds ended. Idempotent but for uses without an id. Raises CountersUnavailableError."""
    forget_us = now_us + FORGET_AFTER_US if settled.remember else 0
    uses = [
        (use.request_id, use.meter_id, state_start(use.epoch, use.window_start_us), use.amount) for use in settled.uses
    ]
    argument = (METERS_TTL_SECONDS, states_of(settled.windows), settled.ended, forget_us, uses)
    keys = (*_keys(tenant), f"gov:{{{tenant.id}}}:ended")
    return _decode_count(await batcher.run(ScriptCall(_SETTLE, keys, _encode(argument))))


async def find_tenants(batcher: ScriptBatcher, request_ids: Sequence[str]) -> dict[str, str]:
    """By request id, the tenant a call holds in; one that is not known is left out. Raises CountersUnavailableError."""
    chunks = list(_chunks(request_ids, 1 if batcher.is_cluster else _IDS_PER_CALL))
    calls = [ScriptCall(_FIND, [_index_key(each) for each in chunk], b"\xc0") for chunk in chunks]
    answers = await gather(*map(batcher.run, calls))
    found = (zip(chunk, _decode_strings(answer), strict=True) for chunk, answer in zip(chunks, answers, strict=True))
    return {request_id: tenant_id for pairs in found for request_id, tenant_id in pairs if tenant_id}


async def read_holds(batcher: ScriptBatcher, tenant_id: str, request_ids: Sequence[str]) -> list[Hold]:
    """Those of the calls that hold something. Raises CountersUnavailableError."""
    chunks = list(_chunks(request_ids, _IDS_PER_CALL))
    keys = (f"gov:{{{tenant_id}}}:holds",)
    answers = await gather(*(batcher.run(ScriptCall(_READ, keys, _encode(chunk))) for chunk in chunks))
    return [
        _hold(request_id, stored)
        for chunk, answer in zip(chunks, answers, strict=True)
        for request_id, stored in zip(chunk, _decode_holds(answer), strict=True)
        if isinstance(stored, _StoredHold)
    ]


async def list_expired_holds(batcher: ScriptBatcher, tenant_id: str, *, now_us: int, most: int) -> HoldsOfTenant:
    """Up to `most` of those that have expired. Raises CountersUnavailableError."""
    keys = [f"gov:{{{tenant_id}}}:{name}" for name in ("holds", "expiries", "ended")]
    answer = await batcher.run(ScriptCall(_LIST_EXPIRED, keys, _encode((now_us, most))))
    count, ended, found = _decode_expired(answer)
    return HoldsOfTenant(count, ended, [_hold(request_id, stored) for request_id, stored in found])


async def note_holding(batcher: ScriptBatcher, tenant_id: str, *, now_us: int) -> None:
    """The tenant has holds that may expire. Raises CountersUnavailableError."""
    await batcher.run(ScriptCall(_NOTE, _HOLDING_KEYS, _encode((tenant_id, now_us))))


async def list_holding(
    batcher: ScriptBatcher, *, start: int, most: int, done: Iterable[str] = (), done_before_us: int = 0
) -> list[str]:
    """A page of the tenants that may have holds, after those that are done were taken out."""
    argument = _encode((start, most, list(done), done_before_us))
    return _decode_strings(await batcher.run(ScriptCall(_LIST_HOLDING, _HOLDING_KEYS, argument)))


def _array_head(count: int) -> bytes:
    return bytes((0x90 | count,)) if count < 16 else b"\xdc" + count.to_bytes(2, "big")


def _text_head(length: int) -> bytes:
    """Of a msgpack text: Redis' msgpack knows no binary type."""
    return b"\xda" + length.to_bytes(2, "big") if length < 65536 else b"\xdb" + length.to_bytes(4, "big")


def _keys(tenant: Tenant) -> tuple[str, str, str, str]:
    tag = f"gov:{{{tenant.id}}}"
    return meters_key(tenant), f"{tag}:held", f"{tag}:holds", f"{tag}:expiries"


def _index_key(request_id: str) -> str:
    return f"gov:hold:{request_id}"


def _hold(request_id: str, stored: _StoredHold) -> Hold:
    return Hold(request_id, stored.expires_us, stored.details, stored.meters)


def _chunks(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (items[start : start + size] for start in range(0, len(items), size))
