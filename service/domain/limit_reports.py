"""What a read of the limits on a path answers. Budgets are in USD here, and only here."""

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from service.domain.entities import Instant
from service.domain.explanations import Between, Reason
from service.domain.meters import MeterKind

LimitLevel = Literal["virtual_key", "provider_config", "model_config", "team", "customer", "provider", "model"]


class LimitOwner(msgspec.Struct, kw_only=True):
    """Whose limit it is. A provider config is called by its provider, a model config by its model."""

    type: str
    id: str
    name: str


class LimitOverride(msgspec.Struct, kw_only=True):
    """By how much a budget is raised now; `cycles_remaining` counts the current window."""

    mode: str
    amount: float
    cycles_total: int | UnsetType = UNSET
    cycles_remaining: int | UnsetType = UNSET


class PastWindow(msgspec.Struct, kw_only=True):
    """What was used in a window before; `carried_over` of it came along when the period was changed."""

    epoch: int
    window_start: Instant
    used: float
    carried_over: float


class ShownDifference(msgspec.Struct, kw_only=True):
    """Two counts that are not alike: `amount` is the first less the second."""

    between: Between
    amount: float
    reason: Reason
    says: str


class ShownExplanation(msgspec.Struct, kw_only=True):
    """What the current window's number is made of.

    `ledger` is the sum of what `events` were charged with, null when they are too many to add up; `window_total` the
    running total, which is `ledger` and `carried_over`; `live` the counter in Redis, null when it has none.
    `accounted` says that each difference is one that may be.
    """

    ledger: float | None
    events: int
    carried_over: float
    window_total: float
    live: float | None
    accounted: bool
    differences: list[ShownDifference]


class PathLimit(msgspec.Struct, kw_only=True):
    """One number held against one limit: US dollars, tokens, requests, or calls under way.

    `max` is what holds now, an override included; `max_limit` what is configured. `held` is what unfinished calls have
    reserved, null when Redis does not answer. A limit of parallel calls has no window.
    """

    id: str
    kind: MeterKind
    level: LimitLevel
    owner: LimitOwner
    meter: str
    max_limit: float
    max: float
    used: float
    held: float | None
    remaining: float
    shadow: bool
    reset_duration: str | UnsetType = UNSET
    epoch: int | UnsetType = UNSET
    window_start: Instant | UnsetType = UNSET
    resets_at: Instant | UnsetType = UNSET
    override: LimitOverride | UnsetType = UNSET
    past_windows: list[PastWindow]
    explain: ShownExplanation | UnsetType = UNSET
