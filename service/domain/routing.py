"""Routing rules: what one sends calls to, and how the wire shows it."""

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from service.domain.entities import Instant

OwnedScope = Literal["team", "customer", "virtual_key"]
RuleScope = Literal["global", OwnedScope]


class Destination(msgspec.Struct, kw_only=True):
    """Where a call goes instead: what is left out is as the call has it."""

    provider: str | UnsetType = UNSET
    model: str | UnsetType = UNSET
    key_id: str | UnsetType = UNSET


class Target(Destination, kw_only=True):
    """`weight` is the share of the rule's calls, of 1."""

    weight: float


class RoutingRuleEntity(msgspec.Struct, kw_only=True):
    """A rule that sends calls elsewhere; gateways evaluate it. `query` is a visual editor's form of the expression."""

    id: str
    name: str
    description: str
    enabled: bool
    chain_rule: bool
    cel_expression: str
    targets: list[Target]
    fallbacks: list[str | Destination]
    query: dict[str, Any] | UnsetType = UNSET
    scope: RuleScope
    scope_id: str | None
    priority: int
    ttft_timeout_ms: int | UnsetType = UNSET
    config_hash: str
    created_at: Instant
    updated_at: Instant
