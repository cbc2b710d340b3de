"""Some usage of a demo tree: what a few virtual keys did lately, charged as the service charges it."""

import hashlib
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import count
from random import Random
from typing import Literal

import msgspec

from service.demo.catalogue import MODELS, Model
from service.demo.limits import reset_rule
from service.demo.owners import customer, customer_id, team
from service.demo.rows import (
    BudgetRow,
    CustomerRow,
    LimitRow,
    ProviderConfigRow,
    RateLimitRow,
    TeamRow,
    VirtualKeyRow,
)
from service.demo.shape import DemoShape, DemoTree, demo_id
from service.demo.virtual_keys import place_of, virtual_key
from service.domain.durations import US_PER_SECOND
from service.domain.meters import Meter, budget_meter_id, requests_meter_id, tokens_meter_id
from service.domain.usage import MeterCharge, UsageEvent
from service.domain.windows import to_us, window_at

_MOST_VIRTUAL_KEYS = 300
_AGES_MINUTES = (4, 25, 70, 180, 420, 900, 1_600, 2_800, 5_000)
_INPUT_TOKENS = (40_000, 400_000)
_OUTPUT_TOKENS = (1_000, 20_000)
_ERROR_SHARE = 0.06
# Shorter rate-limit windows live in the counters alone; no budget of the demo is shorter.
_SHORTEST_WINDOW_US = 3600 * US_PER_SECOND
_FIRST_EPOCH = 1

Owner = CustomerRow | TeamRow | VirtualKeyRow
Counted = Literal["nanousd", "tokens", "requests"]


class UsedVirtualKey(msgspec.Struct, frozen=True, kw_only=True):
    """One that is called, the provider it calls, and every meter on the way with what it counts."""

    row: VirtualKeyRow
    customer_id: str
    provider: str
    models: tuple[Model, ...]
    meters: tuple[tuple[Meter, Counted], ...]


def used_numbers(shape: DemoShape) -> range:
    """The numbers of the virtual keys that may have usage, spread over the whole tree."""
    return range(0, shape.virtual_keys, -(-shape.virtual_keys // _MOST_VIRTUAL_KEYS))


def usage_events(tree: DemoTree, number: int) -> list[UsageEvent]:
    """What virtual key `number` did in the last days, latest first: nothing if it may call nothing."""
    used = _used_virtual_key(tree, number)
    if used is None:
        return []
    random = Random(f"{tree.shape.seed}/usage/{number}")  # noqa: S311  # plausible numbers, no secrets
    return [
        _usage_event(
            used,
            random,
            request_id=demo_id(tree, number, f"usage {place}"),
            occurred_at=tree.now - timedelta(seconds=round(60 * minutes * random.uniform(0.8, 1.2))),
        )
        for place, minutes in enumerate(_AGES_MINUTES)
    ]


def _used_virtual_key(tree: DemoTree, number: int) -> UsedVirtualKey | None:
    # Any ids do: meters are named after their limits, not after the provider configs that own them.
    key = virtual_key(tree, number, count())
    if not key.provider_configs or not key.row.is_active or _is_expired(key.row, tree.now):
        return None
    config = key.provider_configs[number % len(key.provider_configs)]
    place = place_of(tree.shape, number)
    owners: list[tuple[Owner, list[LimitRow]]] = [
        (key.row, [row for row in key.limits if row.provider_config_id in (None, config.id)]),
        customer(tree, place.customer_number),
    ]
    if place.team_number is not None:
        owners.append(team(tree, place.team_number))
    return UsedVirtualKey(
        row=key.row,
        customer_id=customer_id(tree, place.customer_number),
        provider=config.provider,
        models=_models(config),
        meters=tuple(meter for owner, limits in owners for limit in limits for meter in _meters(limit, owner)),
    )


def _is_expired(row: VirtualKeyRow, now: datetime) -> bool:
    return row.expires_at is not None and row.expires_at <= now


def _models(config: ProviderConfigRow) -> tuple[Model, ...]:
    return tuple(
        model
        for model in MODELS[config.provider]
        if "*" in config.allowed_models or model.name in config.allowed_models
        if model.name not in config.blacklisted_models
    )


def _usage_event(used: UsedVirtualKey, random: Random, *, request_id: str, occurred_at: datetime) -> UsageEvent:
    model = random.choice(used.models)
    failed = random.random() < _ERROR_SHARE
    input_tokens = 0 if failed else random.randint(*_INPUT_TOKENS)
    output_tokens = 0 if failed else random.randint(*_OUTPUT_TOKENS)
    event = UsageEvent(
        request_id=request_id,
        fingerprint=hashlib.sha256(request_id.encode()).digest(),
        tenant_id=f"customer:{used.customer_id}",
        virtual_key_id=used.row.id,
        team_id=used.row.team_id,
        customer_id=used.customer_id,
        provider=used.provider,
        model=model.name,
        status="error" if failed else "success",
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cached_input_tokens=input_tokens // 4,
        cost_nanousd=(input_tokens * model.input_nanousd + output_tokens * model.output_nanousd) // 10**6,
        occurred_at=occurred_at,
    )
    if failed:
        return event
    amounts: dict[Counted, int] = {
        "nanousd": event.cost_nanousd,
        "tokens": input_tokens + output_tokens,
        "requests": 1,
    }
    return msgspec.structs.replace(event, charges=tuple(_charges(used, event, amounts)))


def _charges(used: UsedVirtualKey, event: UsageEvent, amounts: Mapping[Counted, int]) -> Iterator[MeterCharge]:
    for meter, counted in used.meters:
        yield MeterCharge(
            meter_id=meter.id,
            epoch=meter.epoch,
            window_start_us=to_us(window_at(meter.rule, event.occurred_at).start),
            amount=amounts[counted],
        )


def _meters(limit: LimitRow, owner: Owner) -> Iterator[tuple[Meter, Counted]]:
    for meter_id, counted, reset_duration in _counted_by(limit):
        rule = reset_rule(reset_duration, limit, owner)
        if rule.duration.length_us >= _SHORTEST_WINDOW_US:
            yield Meter(id=meter_id, epoch=_FIRST_EPOCH, rule=rule), counted


def _counted_by(limit: LimitRow) -> Iterator[tuple[str, Counted, str]]:
    """The meters of a limit: id, what it counts, reset duration."""
    if isinstance(limit, BudgetRow):
        yield budget_meter_id(limit.id), "nanousd", limit.reset_duration
    if isinstance(limit, RateLimitRow) and limit.token_reset_duration is not None:
        yield tokens_meter_id(limit.id), "tokens", limit.token_reset_duration
    if isinstance(limit, RateLimitRow) and limit.request_reset_duration is not None:
        yield requests_meter_id(limit.id), "requests", limit.request_reset_duration
