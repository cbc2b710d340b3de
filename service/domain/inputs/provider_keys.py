"""Provider keys as a client asks for them."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from service.domain.inputs.fields import Name, Weight
from service.domain.inputs.lists import Items, check_items

_LONGEST_SECRET = 16 * 1024

# Any provider a gateway knows, its own custom ones too.
Provider = Annotated[str, Meta(min_length=1, max_length=50, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\Z")]
Secret = Annotated[str, Meta(max_length=_LONGEST_SECRET, description="env.NAME, or the secret: it is shown redacted")]
KeyConfig = Annotated[dict[str, Any], Meta(description="every text in it is a secret but those that say where it is")]

# The fields that hold secrets.
SECRET_FIELDS = ("value", "azure_key_config", "vertex_key_config", "bedrock_key_config")


class ProviderKeyInput(msgspec.Struct, frozen=True, kw_only=True):
    """What creations and updates have in common. A config replaces the one before; null removes it.

    A secret sent back as it was shown stays as it is.
    """

    value: Secret | UnsetType | None = UNSET
    weight: Weight | UnsetType | None = UNSET
    models: Items | UnsetType | None = UNSET
    azure_key_config: KeyConfig | UnsetType | None = UNSET
    vertex_key_config: KeyConfig | UnsetType | None = UNSET
    bedrock_key_config: KeyConfig | UnsetType | None = UNSET
    is_active: bool | UnsetType | None = UNSET


class ProviderKeyCreate(ProviderKeyInput, frozen=True, kw_only=True):
    name: Name
    provider: Provider


class ProviderKeyUpdate(ProviderKeyInput, frozen=True, kw_only=True):
    name: Name | UnsetType = UNSET
    provider: Provider | UnsetType = UNSET


def check_provider_key(given: ProviderKeyInput) -> None:
    """Hold it to the rules its types do not say. Raises RefusedError."""
    check_items(given.models or [], "$.models")
