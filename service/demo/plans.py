"""The words the demo's kinds of teams and virtual keys are described in.

Limits are typical amounts; every owner gets its own multiple of them.
"""

from typing import Literal

import msgspec


class BudgetPlan(msgspec.Struct, frozen=True):
    limit_usd: int
    reset_duration: str
    quarter_start_month: int | None = None
    override_mode: Literal["cycles", "forever"] | None = None


class RateLimitPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Limits are `(how many, reset duration)`."""

    tokens: tuple[int, str] | None = None
    requests: tuple[int, str] | None = None


class LimitPlan(msgspec.Struct, frozen=True, kw_only=True):
    budgets: tuple[BudgetPlan, ...] = ()
    rate_limit: RateLimitPlan | None = None
    max_parallel_requests: int | None = None
    calendar_aligned: bool = False


class TeamKind(msgspec.Struct, frozen=True, kw_only=True):
    limits: LimitPlan
    profile: dict[str, str] = {}
    config: dict[str, str | bool | int] = {}
    claims: dict[str, list[str]] = {}


class ProviderPlan(msgspec.Struct, frozen=True, kw_only=True):
    """`provider_keys` names those it is pinned to; with none it may use every key of the provider."""

    provider: str
    weight: float | None = None
    models: tuple[str, ...] = ("*",)
    blacklisted_models: tuple[str, ...] = ()
    provider_keys: tuple[str, ...] = ()
    limits: LimitPlan = LimitPlan()


class VirtualKeyKind(msgspec.Struct, frozen=True, kw_only=True):
    """`mcp_tools` is by the name of the MCP client; `expires_in_days` below zero has expired."""

    purpose: str
    description: str = ""
    limits: LimitPlan = LimitPlan()
    providers: tuple[ProviderPlan, ...] = ()
    mcp_tools: dict[str, tuple[str, ...]] = {}
    metadata: dict[str, str] = {}
    is_active: bool = True
    expires_in_days: int | None = None
    delete_after_expire: bool | None = None
    disable_content_logging: bool | None = None
    allow_all_providers: bool = False
    created_by_user_id: str | None = None
