"""Virtual keys as a client asks for them."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from service.domain.inputs.fields import Description, Id, LimitUsd, Name, OwnerId, Weight
from service.domain.inputs.limits import LimitsInput, OwnerInput, check_limits
from service.domain.inputs.lists import Items, check_items
from service.domain.refusals import invalid

_MOST_CONFIGS = 200
_MOST_METADATA = 50
_METADATA_KEY = re.compile(r"[A-Za-z0-9._-]{1,256}")
# Names the gateways keep for themselves (Bifrost's documentation of virtual key metadata).
_RESERVED_KEY = "isAsyncRequest"
_RESERVED_PREFIX = "bifrost_alb_"
_LATEST_YEAR = 8999

Metadata = Annotated[
    dict[
        Annotated[str, Meta(min_length=1, max_length=256, pattern=r"^[A-Za-z0-9._-]+\Z")],
        Annotated[str, Meta(max_length=512)],
    ],
    Meta(max_length=_MOST_METADATA),
]
ExpiresAt = Annotated[
    str,
    Meta(
        max_length=64,
        description="RFC 3339, in the future; empty: never",
        extra_json_schema={"anyOf": [{"const": ""}, {"format": "date-time"}]},
    ),
]


class ModelBudgetInput(LimitsInput, frozen=True, kw_only=True):
    """The limits of one model of a provider."""

    model_name: Name


class ProviderConfigInput(LimitsInput, frozen=True, kw_only=True):
    """What the key may use of one provider. `id` names a config that is there, whose limits stay when left out."""

    provider: Name
    id: Annotated[int, Meta(ge=1, le=2**63 - 1)] | UnsetType | None = UNSET
    weight: Weight | UnsetType | None = UNSET
    allowed_models: Items | UnsetType | None = UNSET
    blacklisted_models: Items | UnsetType | None = UNSET
    key_ids: Annotated[Items, Meta(description="provider keys it is pinned to")] | UnsetType | None = UNSET
    model_budgets: Annotated[list[ModelBudgetInput], Meta(max_length=_MOST_CONFIGS)] | UnsetType | None = UNSET


class McpConfigInput(msgspec.Struct, frozen=True, kw_only=True):
    """Which tools of one MCP client the key may execute."""

    mcp_client_name: Name
    id: Annotated[int, Meta(ge=1, le=2**63 - 1)] | UnsetType | None = UNSET
    tools_to_execute: Items | UnsetType | None = UNSET


class VirtualKeyInput(OwnerInput, frozen=True, kw_only=True):
    """What creations and updates have in common. Configs are full sets: what is not listed goes."""

    description: Description | UnsetType | None = UNSET
    team_id: OwnerId | UnsetType | None = UNSET
    customer_id: OwnerId | UnsetType | None = UNSET
    is_active: bool | UnsetType | None = UNSET
    expires_at: ExpiresAt | UnsetType | None = UNSET
    allow_all_providers: bool | UnsetType | None = UNSET
    disable_content_logging: bool | UnsetType | None = UNSET
    delete_after_expire: bool | UnsetType | None = UNSET
    metadata: Metadata | UnsetType | None = UNSET
    provider_configs: Annotated[list[ProviderConfigInput], Meta(max_length=_MOST_CONFIGS)] | UnsetType | None = UNSET
    mcp_configs: Annotated[list[McpConfigInput], Meta(max_length=_MOST_CONFIGS)] | UnsetType | None = UNSET

    def expiry(self, now: datetime) -> datetime | UnsetType | None:
        """UNSET when it stays, None for never. Raises RefusedError."""
        if not self.expires_at:
            # Null keeps, as Bifrost has it for a field it reads as text.
            return None if self.expires_at == "" else UNSET
        return parse_expiry(self.expires_at, now)


class VirtualKeyCreate(VirtualKeyInput, frozen=True, kw_only=True):
    name: Name


class VirtualKeyUpdate(VirtualKeyInput, frozen=True, kw_only=True):
    """`team_id` and `customer_id`: null or `""` detaches, setting one clears the other."""

    name: Name | UnsetType = UNSET
    reset_budget_usage: bool = False


class RotateInput(msgspec.Struct, frozen=True):
    ids: Annotated[list[Id], Meta(min_length=1, max_length=1000)]


class OverrideInput(msgspec.Struct, frozen=True, kw_only=True):
    """A temporary extra allowance: for so many windows from the current one on, or for ever."""

    amount: LimitUsd
    mode: Literal["cycles", "forever"]
    cycles: Annotated[int, Meta(ge=0, le=10_000)] | None = None


def check_virtual_key(given: VirtualKeyInput) -> None:
    """Hold it to the rules its types do not say. Raises RefusedError."""
    check_limits(given)
    if given.team_id and given.customer_id:
        raise invalid("$.customer_id", "a virtual key belongs to a team or a customer, not to both")
    if isinstance(given.metadata, dict):
        _check_metadata(given.metadata)
    _check_provider_configs(given.provider_configs or [])
    _check_mcp_configs(given.mcp_configs or [])


def check_override(override: OverrideInput) -> None:
    """Raises RefusedError."""
    if override.mode == "cycles" and not override.cycles:
        raise invalid("$.cycles", "must be at least 1 in mode 'cycles'")
    if override.mode == "forever" and override.cycles:
        raise invalid("$.cycles", "has no meaning in mode 'forever'")


def parse_expiry(text: str, now: datetime) -> datetime:
    """Raises RefusedError for what is no instant with its offset, or is not in the future."""
    try:
        instant: datetime = msgspec.convert(text, Annotated[datetime, Meta(tz=True)])
    except msgspec.ValidationError as error:
        raise invalid("$.expires_at", "must be an RFC 3339 time such as 2027-01-01T00:00:00Z") from error
    if instant <= now:
        raise invalid("$.expires_at", "must be in the future")
    if instant.year > _LATEST_YEAR:
        raise invalid("$.expires_at", "is too far in the future")
    return instant


def _check_metadata(metadata: dict[str, str]) -> None:
    for key in metadata:
        if key == _RESERVED_KEY or key.startswith(_RESERVED_PREFIX):
            raise invalid(f"$.metadata.{key}", "is a reserved name")
        if not _METADATA_KEY.fullmatch(key):
            raise invalid("$.metadata", "a key holds letters, digits, '.', '_' and '-' only")


def _check_provider_configs(configs: Sequence[ProviderConfigInput]) -> None:
    seen: set[str] = set()
    for number, config in enumerate(configs):
        path = f"$.provider_configs[{number}]"
        if config.provider in seen:
            raise invalid(f"{path}.provider", "is in the list twice")
        seen.add(config.provider)
        check_limits(config, path)
        check_items(config.allowed_models or [], f"{path}.allowed_models", patterns=True)
        check_items(config.blacklisted_models or [], f"{path}.blacklisted_models", patterns=True)
        check_items(config.key_ids or [], f"{path}.key_ids")
        _check_model_budgets(config.model_budgets or [], f"{path}.model_budgets")


def _check_model_budgets(model_budgets: Sequence[ModelBudgetInput], path: str) -> None:
    seen: set[str] = set()
    for number, model_budget in enumerate(model_budgets):
        if model_budget.model_name in seen or model_budget.model_name == "*":
            raise invalid(f"{path}[{number}].model_name", "must be one model, once")
        seen.add(model_budget.model_name)
        check_limits(model_budget, f"{path}[{number}]")


def _check_mcp_configs(configs: Sequence[McpConfigInput]) -> None:
    seen: set[str] = set()
    for number, config in enumerate(configs):
        path = f"$.mcp_configs[{number}]"
        if config.mcp_client_name in seen:
            raise invalid(f"{path}.mcp_client_name", "is in the list twice")
        seen.add(config.mcp_client_name)
        check_items(config.tools_to_execute or [], f"{path}.tools_to_execute")
