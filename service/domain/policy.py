"""Policies: what the calls of one virtual key are held against.

A limit here is one meter with its maximum; a budget is one, a rate limit one or two, a bound on parallel calls one.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

from service.domain.meters import Tenant, parallel_meter_id
from service.domain.models import ModelList
from service.domain.windows import ResetRule, from_us, window_us_at, windows_since

LimitKind = Literal["budget", "tokens", "requests", "parallel"]
Level = Literal["model", "provider", "virtual_key", "provider_config", "model_config", "team", "customer"]

EVERY_MODEL = "*"
# No window: such a limit is given back by settling, releasing and expiry only.
NEVER_US = 2**62
# Shorter windows live in Redis only: losing it restarts them empty.
SHORTEST_LEDGER_WINDOW_US = 3_600_000_000


class Holder(msgspec.Struct, frozen=True, gc=False):
    """Whose limit it is: the level, and the entity of it."""

    level: Level
    type: str
    id: str
    name: str


class Override(msgspec.Struct, frozen=True, gc=False):
    """A temporary raise of a budget: for so many `cycles`, counted from the window of `anchor`, or for ever."""

    amount_nanousd: int
    cycles: int | None = None
    anchor: datetime | None = None


class Limit(msgspec.Struct, frozen=True, gc=False):
    """One meter and its maximum. There are some for each virtual key in memory: what can be derived is not kept.

    `id` is the budget's, the rate limit's or, of parallel calls, the holder's.
    """

    id: str
    kind: LimitKind
    holder: Holder
    max: int
    epoch: int = 0
    rule: ResetRule | None = None
    shadow: bool = False
    override: Override | None = None

    def window_at(self, instant_us: int) -> tuple[int, int]:
        """Start and end of the window that holds any instant, in microseconds since 1970."""
        return (0, NEVER_US) if self.rule is None else window_us_at(self.rule, instant_us)

    def max_at(self, instant_us: int) -> int:
        """With what an override adds in the window of the instant."""
        if self.override is None or self.rule is None:
            return self.max
        return self.max + _override_nanousd(self.override, self.rule, from_us(instant_us))

    @property
    def code(self) -> str:
        """As authorize.lua has it: 'p' parallel calls, 'r' in Redis only, 'l' in the ledger; a capital in shadow."""
        code = "p" if self.rule is None else "r" if self.is_live_only else "l"
        return code.upper() if self.shadow else code

    @property
    def meter_id(self) -> str:
        if self.kind == "parallel":
            return parallel_meter_id(self.holder.type, self.id)
        return f"{self.kind}:{self.id}"

    @property
    def is_live_only(self) -> bool:
        """Counted in Redis and not in the ledger."""
        return self.rule is not None and self.rule.duration.length_us < SHORTEST_LEDGER_WINDOW_US


# Of one holder: they are met, and encoded, together.
Limits: TypeAlias = tuple[Limit, ...]


class ProviderAccess(msgspec.Struct, frozen=True, gc=False):
    """What a virtual key may use of one provider; `key_ids` None is every provider key."""

    provider: str
    weight: float | None
    allowed_models: ModelList
    blacklisted_models: ModelList
    key_ids: tuple[str, ...] | None
    limits: Limits = ()

    def allows(self, model: str | None) -> bool:
        """Without a model, only who may use every one: what the call will be for cannot be known."""
        if model is None:
            return self.allowed_models.is_everything and not self.blacklisted_models
        return self.allowed_models.holds(model) and not self.blacklisted_models.holds(model)


class ModelLimits(msgspec.Struct, frozen=True, gc=False):
    """Limits of a model (`*`: every one) of a provider (None: every one)."""

    model: str
    provider: str | None
    limits: Limits

    def meets(self, provider: str | None, model: str | None) -> bool:
        return self.model in (EVERY_MODEL, model) and (self.provider is None or self.provider == provider)


class McpAccess(msgspec.Struct, frozen=True, gc=False):
    """The tools of one MCP client."""

    client: str
    tools: tuple[str, ...]


class Policy(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Of one virtual key at one revision of its tenant.

    `limits` are the key's own; `shared` the team's and the customer's, each the same object for all keys that share it.
    A deleted key has only shared ones.
    """

    virtual_key_id: str
    name: str
    tenant: Tenant
    revision: int
    team_id: str | None = None
    customer_id: str | None = None
    value_hash: bytes
    previous_value_hash: bytes | None = None
    previous_value_expires_at: datetime | None = None
    is_active: bool = True
    is_deleted: bool = False
    expires_at: datetime | None = None
    allow_all_providers: bool = False
    providers: tuple[ProviderAccess, ...] = ()
    mcp: tuple[McpAccess, ...] = ()
    limits: Limits = ()
    model_limits: tuple[ModelLimits, ...] = ()
    shared: tuple[Limits, ...] = ()

    def answers_to(self, value_hash: bytes, now: datetime) -> bool:
        """Whether the value works: the one before the current one only for so long."""
        if value_hash == self.value_hash:
            return True
        until = self.previous_value_expires_at
        return value_hash == self.previous_value_hash and until is not None and now < until

    def is_expired(self, now: datetime) -> bool:
        return self.expires_at is not None and now >= self.expires_at

    def access_to(self, provider: str | None) -> ProviderAccess | None:
        for access in self.providers:
            if access.provider == provider:
                return access
        return None

    def path(self, provider: str | None, model: str | None) -> tuple[Limits, ...]:
        """All limits of the tenant a call is held against, by holder: the key, what it has for them, team, customer."""
        return (self.limits, *self.limits_of_provider(provider, model), *self.shared)

    def limits_of_provider(self, provider: str | None, model: str | None) -> list[Limits]:
        """What else a call is held against because it is for this provider and model, by holder."""
        access = self.access_to(provider)
        found = [] if access is None or not access.limits else [access.limits]
        if self.model_limits:
            found += [each.limits for each in self.model_limits if each.meets(provider, model)]
        return found


class GlobalPolicy(msgspec.Struct, frozen=True):
    """What the whole deployment is held to: limits of models and providers, and MCP clients open to all."""

    tenant: Tenant
    revision: int
    model_limits: tuple[ModelLimits, ...] = ()
    default_mcp: tuple[McpAccess, ...] = ()

    def path(self, provider: str | None, model: str | None) -> tuple[Limits, ...]:
        """As of a policy."""
        if not self.model_limits:
            return ()
        return tuple(each.limits for each in self.model_limits if each.meets(provider, model))


def limits_on(*paths: Iterable[Limits]) -> Iterator[Limit]:
    """One after the other, whoever holds them."""
    return (limit for path in paths for limits in path for limit in limits)


def _override_nanousd(override: Override, rule: ResetRule, now: datetime) -> int:
    """How much it raises the limit in the window of `now`."""
    if override.cycles is None or override.anchor is None:
        return override.amount_nanousd
    # A clock that was set back is in a window before the grant.
    passed = max(windows_since(rule, override.anchor, now), 0)
    return override.amount_nanousd if passed < override.cycles else 0
