"""Routing rules as a client asks for them."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from service.domain.cel import check_expression
from service.domain.inputs.fields import FREE_TEXT, PLAIN_TEXT, Description, Name, OwnerId
from service.domain.refusals import invalid
from service.domain.routing import Destination, RuleScope, Target

_WEIGHT_TOLERANCE = 0.001
_MOST_DESTINATIONS = 100
_LARGEST_QUERY_BYTES = 64 * 1024
_DEEPEST_QUERY = 32

Expression = Annotated[str, Meta(max_length=4096, pattern=FREE_TEXT, description="CEL; empty: every call")]
# These bounds are told in the schema, but held to below: there in the words clients know.
RuleName = Annotated[str, Meta(max_length=255, pattern=PLAIN_TEXT, extra_json_schema={"minLength": 1})]
TargetWeight = Annotated[
    float,
    Meta(
        description="the share of the rule's calls; all are 1 together",
        extra_json_schema={"exclusiveMinimum": 0, "maximum": 1 + _WEIGHT_TOLERANCE},
    ),
]
# What follows the slash may be empty: the call's own model.
ProviderAndModel = Annotated[str, Meta(max_length=511, pattern=r"^[^/\x00-\x1f\x7f-\x9f]+/[^\x00-\x1f\x7f-\x9f]*\Z")]
Query = Annotated[dict[str, Any], Meta(max_length=100, description="a visual editor's own form of the expression")]
Priority = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1, description="the lowest is looked at first")]
TimeoutMs = Annotated[int, Meta(ge=0, le=3_600_000, description="longest wait for the first token; 0: no bound")]
# `user` is a word of the wire, and no scope anything is made in.
AskedScope = Literal[RuleScope, "user"]


class TargetInput(msgspec.Struct, frozen=True, kw_only=True):
    """What is left out, null or empty is as the call has it."""

    provider: OwnerId | None = None
    model: OwnerId | None = None
    key_id: OwnerId | None = None
    weight: TargetWeight = 1.0


class FallbackInput(msgspec.Struct, frozen=True, kw_only=True):
    """Where a call goes when the target failed."""

    provider: Name
    model: OwnerId | None = None
    key_id: OwnerId | None = None


Targets = Annotated[list[TargetInput], Meta(max_length=_MOST_DESTINATIONS, extra_json_schema={"minItems": 1})]
Fallbacks = Annotated[list[ProviderAndModel | FallbackInput], Meta(max_length=_MOST_DESTINATIONS)]


class RoutingRuleInput(msgspec.Struct, frozen=True, kw_only=True):
    """What creations and updates share. A `scope_id` is dropped in scope `global`."""

    name: RuleName | UnsetType = UNSET
    description: Description | UnsetType | None = UNSET
    enabled: bool | UnsetType | None = UNSET
    chain_rule: bool | UnsetType | None = UNSET
    cel_expression: Expression | UnsetType | None = UNSET
    targets: Targets | UnsetType = UNSET
    fallbacks: Fallbacks | UnsetType | None = UNSET
    query: Query | UnsetType | None = UNSET
    scope: AskedScope | UnsetType | None = UNSET
    scope_id: OwnerId | UnsetType | None = UNSET
    priority: Priority | UnsetType | None = UNSET
    ttft_timeout_ms: TimeoutMs | UnsetType | None = UNSET


class RoutingRuleCreate(RoutingRuleInput, frozen=True, kw_only=True):
    """`name` and `targets` are needed."""


class RoutingRuleUpdate(RoutingRuleInput, frozen=True, kw_only=True):
    """What is left out stays; lists are replaced whole; null clears `query`, `fallbacks` and `ttft_timeout_ms`."""


def check_name(name: str | UnsetType) -> str:
    """Raises RefusedError for none."""
    if name is UNSET or not name.strip():
        raise invalid("$.name", "name field is required")
    return name


def checked_targets(given: Sequence[TargetInput] | UnsetType) -> list[Target]:
    """Raises RefusedError: none at all, two alike in any case, or shares that are not those of one whole."""
    if not given:
        raise invalid("$.targets", "at least one target is required")
    first: dict[tuple[str, str, str], int] = {}
    for number, target in enumerate(given):
        path = f"$.targets[{number}]"
        if target.weight <= 0:
            raise invalid(f"{path}.weight", "each target weight must be positive")
        if target.key_id and not target.provider:
            raise invalid(f"{path}.key_id", "key_id requires provider to be set")
        key = (target.provider or "").casefold(), (target.model or "").casefold(), target.key_id or ""
        if key in first:
            raise invalid(path, f"duplicate target entry: as targets[{first[key]}]")
        first[key] = number
    total = sum(target.weight for target in given)
    if abs(total - 1) > _WEIGHT_TOLERANCE:
        raise invalid("$.targets", f"target weights must sum to 1, got {total:.4f}")
    return [Target(**_set(target), weight=target.weight) for target in given]


def fallbacks_of(given: Sequence[str | FallbackInput] | None) -> list[str | Destination]:
    return [item if isinstance(item, str) else Destination(**_set(item)) for item in given or []]


def check_query(query: dict[str, Any]) -> None:
    """Raises RefusedError for one that is too large, or too deep."""
    if _depth(query) > _DEEPEST_QUERY:
        raise invalid("$.query", f"nests deeper than {_DEEPEST_QUERY}")
    if len(msgspec.json.encode(query)) > _LARGEST_QUERY_BYTES:
        raise invalid("$.query", f"is larger than {_LARGEST_QUERY_BYTES // 1024} KiB")


def check_scope(scope: RuleScope, scope_id: str | None) -> str | None:
    """The id as it is stored: of nothing in scope `global`. Raises RefusedError when another scope has none."""
    if scope == "global":
        return None
    if not scope_id:
        raise invalid("$.scope_id", f"scope_id is required for scope '{scope}'")
    return scope_id


def check_condition(expression: str) -> None:
    """Raises RefusedError."""
    check_expression(expression, "$.cel_expression")


def _set(given: TargetInput | FallbackInput) -> dict[str, Any]:
    return {name: getattr(given, name) or UNSET for name in ("provider", "model", "key_id")}


def _depth(document: Any) -> int:
    """Level by level: a document may be deeper than Python's stack."""
    depth, level = 0, [document]
    while level:
        depth += 1
        below = [item.values() if isinstance(item, dict) else item for item in level if isinstance(item, dict | list)]
        level = [item for items in below for item in items]
    return depth
