"""Meters: one number held against one limit.

A meter's id is derived from its limit: `budget:<budget id>` counts nano-dollars, `tokens:<rate limit id>` tokens,
`requests:<rate limit id>` requests. `parallel:<kind>:<owner id>` is how many calls are under way.
"""

from datetime import datetime
from typing import Literal

import msgspec

from service.domain.windows import ResetRule, Window

MeterKind = Literal["budget", "tokens", "requests", "parallel"]


class Meter(msgspec.Struct, frozen=True, gc=False):
    """What is counted, and since when: a meter's state counts only if its epoch and window are the meter's own."""

    id: str
    epoch: int
    rule: ResetRule


class MeterState(msgspec.Struct, frozen=True, gc=False):
    """The running total of one meter: `used` in its unit, for one window of one epoch."""

    epoch: int
    window_start: datetime
    used: int


class Tenant(msgspec.Struct, frozen=True, gc=False):
    """The root of a tree. `layout` names the set of its meters; live counters are kept per layout."""

    id: str
    layout: int


class MeterWindow(msgspec.Struct, frozen=True, gc=False):
    """A meter's state with the meter and the tenant it belongs to, as it travels between the stores."""

    meter_id: str
    tenant: Tenant
    epoch: int
    window_start: datetime
    used: int


def used_in(window: Window, meter: Meter, state: MeterState) -> int:
    """What `state` says was used in `window`: a window that has ended, or another epoch's, reads as zero."""
    if state.epoch != meter.epoch or state.window_start != window.start:
        return 0
    return state.used


def budget_meter_id(budget_id: str) -> str:
    return f"budget:{budget_id}"


def tokens_meter_id(rate_limit_id: str) -> str:
    return f"tokens:{rate_limit_id}"


def requests_meter_id(rate_limit_id: str) -> str:
    return f"requests:{rate_limit_id}"


def limit_of_meter(meter_id: str) -> tuple[str, str]:
    """What is counted, and the id of the limit it is counted against."""
    kind, _, limit_id = meter_id.partition(":")
    return kind, limit_id


def parallel_meter_id(owner_kind: str, owner_id: str) -> str:
    """`owner_kind` is `customer`, `team` or `virtual_key`."""
    return f"parallel:{owner_kind}:{owner_id}"
