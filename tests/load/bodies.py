"""The requests of load that is not made by wrk; the same as wrk/load.lua's."""

import itertools
from collections.abc import Callable, Sequence
from random import Random
from typing import Any
from uuid import uuid4

import msgspec

AUTHORIZE = "/api/governance/authorize"
USAGE = "/api/governance/usage"


def authorize_body(value: str, request_id: str) -> dict[str, Any]:
    return {
        "request_id": request_id,
        "virtual_key": value,
        "provider": "openai",
        "model": "gpt-4o",
        "estimated_input_tokens": 100,
        "max_output_tokens": 100,
        "estimated_cost": 0.001,
    }


def usage_body(value: str, request_id: str) -> dict[str, Any]:
    return {
        "request_id": request_id,
        "virtual_key": value,
        "provider": "openai",
        "model": "gpt-4o",
        "input_tokens": 100,
        "output_tokens": 50,
        "cost": 0.001,
    }


def random_authorizes(values: Sequence[str], *, seed: int = 1) -> Callable[[], bytes]:
    """Bodies for virtual keys chosen at random, each with a request id of its own."""
    run, numbers, random = uuid4().hex[:12], itertools.count(1), Random(seed)
    return lambda: msgspec.json.encode(authorize_body(random.choice(values), f"{run}-{next(numbers)}"))


def authorizes_of_each(values: Sequence[str]) -> Callable[[], bytes]:
    """One body for each virtual key, in order."""
    run, remaining = uuid4().hex[:12], enumerate(values)

    def next_body() -> bytes:
        number, value = next(remaining)
        return msgspec.json.encode(authorize_body(value, f"{run}-{number}"))

    return next_body
