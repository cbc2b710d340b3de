"""A batch of usage as `record_usage` of queries/ledger.sql takes it."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from service.domain.usage import UsageEvent


def columns_of_batch(events: Sequence[UsageEvent]) -> dict[str, Any]:
    return {**_columns_of_events(events), **_columns_of_charges(events)}


def _columns_of_events(events: Sequence[UsageEvent]) -> dict[str, Any]:
    return {
        "request_ids": [event.request_id for event in events],
        "fingerprints": [event.fingerprint for event in events],
        "tenant_ids": [event.tenant_id for event in events],
        "virtual_key_ids": [event.virtual_key_id for event in events],
        "team_ids": [event.team_id for event in events],
        "customer_ids": [event.customer_id for event in events],
        "providers": [event.provider for event in events],
        "models": [event.model for event in events],
        "statuses": [event.status for event in events],
        "input_tokens": _numbers(event.input_tokens for event in events),
        "output_tokens": _numbers(event.output_tokens for event in events),
        "cached_input_tokens": _numbers(event.cached_input_tokens for event in events),
        "costs_nanousd": _numbers(event.cost_nanousd for event in events),
        "priced": [event.priced for event in events],
        "occurred_at": [event.occurred_at for event in events],
        "metadata": [None if event.metadata is None else msgspec.json.encode(event.metadata) for event in events],
    }


def _columns_of_charges(events: Sequence[UsageEvent]) -> dict[str, Any]:
    """Each window once, and what is charged to it by its place: a window has many charges, and texts are long."""
    places: dict[tuple[str, int, int], int] = {}
    charged: list[tuple[int, int, int]] = []
    for number, event in enumerate(events, 1):
        for charge in event.charges:
            window = (charge.meter_id, charge.epoch, charge.window_start_us)
            charged.append((number, places.setdefault(window, len(places) + 1), charge.amount))
    return {
        "meter_ids": [meter_id for meter_id, _, _ in places],
        "epochs": _numbers(epoch for _, epoch, _ in places),
        "window_starts_us": _numbers(window_start_us for _, _, window_start_us in places),
        "charged_events": _numbers(event for event, _, _ in charged),
        "charged_windows": _numbers(window for _, window, _ in charged),
        "charged_amounts": _numbers(amount for _, _, amount in charged),
    }


def _numbers(numbers: Iterable[int]) -> str:
    """An array as Postgres writes it: as a list, asyncpg looks at each number three times, in Python."""
    return "{" + msgspec.json.encode(list(numbers)).decode()[1:-1] + "}"
