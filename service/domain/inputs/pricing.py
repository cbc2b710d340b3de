"""Pricing overrides as a client asks for them: whose calls they are for, which models, and the prices they replace."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from service.domain.inputs.fields import Id, Name, OwnerId
from service.domain.price_fields import PRICE_FIELDS
from service.domain.pricing import MAX_UNIT_PRICE_USD, SCOPES, MatchType, RequestType, ScopeKind
from service.domain.refusals import invalid

SCOPE_IDS = ("user_id", "virtual_key_id", "provider_id", "provider_key_id")
_LONGEST_SHOWN_NAME = 64

RequestTypes = Annotated[list[RequestType], Meta(max_length=20, description="[] is all of them")]
# Told in the schema, but held to by `checked_patch`: that names the price.
Price = Annotated[float, Meta(extra_json_schema={"minimum": 0, "maximum": MAX_UNIT_PRICE_USD})]
Patch = Annotated[
    dict[str, Price | None],
    Meta(
        max_length=len(PRICE_FIELDS),
        description="US dollars per unit, by the price's name",
        extra_json_schema={"propertyNames": {"enum": sorted(PRICE_FIELDS)}},
    ),
]


class PricingOverrideInput(msgspec.Struct, frozen=True, kw_only=True):
    """What creations and updates have in common."""

    user_id: OwnerId | UnsetType | None = UNSET
    virtual_key_id: OwnerId | UnsetType | None = UNSET
    provider_id: OwnerId | UnsetType | None = UNSET
    provider_key_id: OwnerId | UnsetType | None = UNSET
    request_types: RequestTypes | UnsetType | None = UNSET
    patch: Patch | UnsetType | None = UNSET


class PricingOverrideCreate(PricingOverrideInput, frozen=True, kw_only=True):
    name: Name
    scope_kind: ScopeKind
    match_type: MatchType
    pattern: Id


class PricingOverrideUpdate(PricingOverrideInput, frozen=True, kw_only=True):
    """What is left out stays, null clears. Another `scope_kind` first clears the ids; `patch` is replaced whole."""

    name: Name | UnsetType = UNSET
    scope_kind: ScopeKind | UnsetType = UNSET
    match_type: MatchType | UnsetType = UNSET
    pattern: Id | UnsetType = UNSET


def check_scope(scope_kind: ScopeKind, scope_ids: Mapping[str, str | None]) -> None:
    """Raises RefusedError when an id is missing that the kind needs, or given that it has no place for."""
    needed = SCOPES[scope_kind]
    for name in SCOPE_IDS:
        if name in needed and not scope_ids[name]:
            raise invalid(f"$.{name}", f"{name} is required for {scope_kind} scope_kind")
        if name not in needed and scope_ids[name]:
            raise invalid(f"$.{name}", f"{scope_kind} scope_kind has no {name}")


def check_pattern(match_type: MatchType, pattern: str) -> None:
    """Raises RefusedError."""
    if not pattern.strip() or pattern != pattern.strip():
        raise invalid("$.pattern", "must not be blank, nor begin or end with spaces")
    if match_type == "exact" and "*" in pattern:
        raise invalid("$.pattern", "exact pattern cannot include '*'")
    if match_type == "wildcard" and (not pattern.endswith("*") or pattern.count("*") != 1):
        raise invalid("$.pattern", "wildcard pattern supports a single trailing '*' only")
    if pattern == "*":
        raise invalid("$.pattern", "wildcard prefix cannot be empty")


def check_request_types(request_types: Sequence[str]) -> None:
    """Raises RefusedError for one that is given twice."""
    for number, request_type in enumerate(request_types):
        if request_type in request_types[:number]:
            raise invalid(f"$.request_types[{number}]", "is in the list twice")


def checked_patch(patch: Mapping[str, Any]) -> dict[str, float]:
    """The prices that are set, in order of their names. Raises RefusedError for what is no price."""
    for name, price_usd in patch.items():
        shown = name[:_LONGEST_SHOWN_NAME] if name.isprintable() else "?"
        if name not in PRICE_FIELDS:
            near = difflib.get_close_matches(shown, PRICE_FIELDS, n=1)
            raise invalid(f"$.patch.{shown}", "is no price" + (f"; did you mean '{near[0]}'?" if near else ""))
        if price_usd is not None and not 0 <= price_usd <= MAX_UNIT_PRICE_USD:
            raise invalid(f"$.patch.{name}", f"must be between 0 and {MAX_UNIT_PRICE_USD} US dollars per unit")
    return {name: price for name, price in sorted(patch.items()) if price is not None}
