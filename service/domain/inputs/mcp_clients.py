"""MCP clients as a client of this API asks for them."""

import re
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from service.domain.inputs.fields import Name
from service.domain.inputs.lists import Items, check_items
from service.domain.redaction import is_open
from service.domain.refusals import invalid

_LONGEST_CONNECTION = 8 * 1024
_HTTP_URL = re.compile(r"https?://[^\s/?#]+\S*")

ConnectionType = Literal["http", "sse", "stdio"]
ConnectionString = Annotated[
    str, Meta(max_length=_LONGEST_CONNECTION, description="env.NAME, a URL, or a command: shown without what is secret")
]


class McpClientInput(msgspec.Struct, frozen=True, kw_only=True):
    """What creations and updates share. `allow_on_all_virtual_keys` is the older name of `allow_by_default`."""

    connection_type: ConnectionType | UnsetType | None = UNSET
    connection_string: ConnectionString | UnsetType | None = UNSET
    tools_to_execute: Items | UnsetType | None = UNSET
    allow_by_default: bool | UnsetType | None = UNSET
    allow_on_all_virtual_keys: bool | UnsetType | None = UNSET

    @property
    def allowed_by_default(self) -> bool | UnsetType | None:
        return self.allow_on_all_virtual_keys if self.allow_by_default in (UNSET, None) else self.allow_by_default


class McpClientCreate(McpClientInput, frozen=True, kw_only=True):
    name: Name


class McpClientUpdate(McpClientInput, frozen=True, kw_only=True):
    name: Name | UnsetType = UNSET


def check_mcp_client(given: McpClientInput) -> None:
    """Hold it to the rules its types do not say. Raises RefusedError."""
    check_items(given.tools_to_execute or [], "$.tools_to_execute")
    names = {given.allow_by_default, given.allow_on_all_virtual_keys} - {UNSET, None}
    if len(names) > 1:
        raise invalid("$.allow_on_all_virtual_keys", "says the opposite of allow_by_default")


def check_connection(connection_type: str, connection_string: str) -> None:
    """Raises RefusedError for what no client of the type can connect to."""
    if connection_type == "stdio" or is_open(connection_string):
        return
    if not _HTTP_URL.fullmatch(connection_string):
        raise invalid("$.connection_string", f"must be an http or https URL for a connection of type {connection_type}")
