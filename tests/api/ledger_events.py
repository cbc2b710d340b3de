"""Usage for tests of its reads: events of a few customers, teams, virtual keys and models, by chance."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from service.domain.usage import UsageEvent
from tests.factories import usage_event

# Customer, team and virtual key: one key moved, one has no owner at all.
OWNERS: tuple[tuple[str | None, str | None, str], ...] = (
    ("acme", "research", "key-1"),
    ("acme", "research", "key-2"),
    ("acme", None, "key-3"),
    ("acme", "sales", "key-2"),
    ("zeta", None, "key-4"),
    (None, "nomads", "key-5"),
    (None, None, "key-6"),
)
MODELS = (("openai", "gpt-4o"), ("openai", "gpt-4o-mini"), ("anthropic", "claude"), ("", ""))
SUMMED = ("requests", "errors", "input_tokens", "output_tokens", "cached_input_tokens", "total_tokens", "cost_nanousd")


def chance_events(chance: random.Random, count: int, *, until: datetime, days: float) -> list[UsageEvent]:
    return [_chance_event(chance, number, until - timedelta(days=chance.random() * days)) for number in range(count)]


def _chance_event(chance: random.Random, number: int, at: datetime) -> UsageEvent:
    customer_id, team_id, virtual_key_id = chance.choice(OWNERS)
    provider, model = chance.choice(MODELS)
    return usage_event(
        f"request-{number}",
        at=at,
        tenant_id=f"customer:{customer_id}" if customer_id else f"team:{team_id}",
        customer_id=customer_id,
        team_id=team_id,
        virtual_key_id=virtual_key_id,
        provider=provider,
        model=model,
        status=chance.choice(["success", "success", "success", "error", "cancelled", "expired"]),
        input_tokens=chance.randrange(10**6),
        output_tokens=chance.randrange(10**6),
        cached_input_tokens=chance.randrange(10**6),
        cost_nanousd=chance.randrange(10**15),
    )


def summed(events: Sequence[UsageEvent], group: Callable[[UsageEvent], Any]) -> dict[Any, dict[str, int]]:
    """The model of what a report has to answer: plain sums in Python."""
    groups: dict[Any, Counter[str]] = {}
    for event in events:
        sums = groups.setdefault(group(event), Counter(dict.fromkeys(SUMMED, 0)))
        sums["requests"] += 1
        sums["errors"] += event.status in ("error", "cancelled")
        for name in ("input_tokens", "output_tokens", "cached_input_tokens", "cost_nanousd"):
            sums[name] += getattr(event, name)
        sums["total_tokens"] += event.input_tokens + event.output_tokens
    return {key: dict(sums) for key, sums in groups.items()}
