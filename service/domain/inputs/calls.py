"""What gateways ask and report: a call before it is made, its usage after it, and one that was not made."""

import re
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from service.domain.inputs.fields import PLAIN_TEXT
from service.domain.money import MAX_CALL_NANOUSD, NANOUSD_PER_USD
from service.domain.refusals import invalid
from service.domain.usage import LATE_SUFFIX, ReportedStatus

LONGEST_HOLD_SECONDS = 86_400
MOST_EVENTS = 1000
_MOST_TOOLS = 1000
_MOST_HEADERS = 200
_LONGEST_METADATA_BYTES = 8192
# A NUL as it is encoded; behind a backslash of its own it is a text that says so.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")

Text = Annotated[str, Meta(min_length=1, max_length=255, pattern=PLAIN_TEXT)]
# The ledger has ids of 255 characters, some with a suffix of its own.
RequestId = Annotated[str, Meta(min_length=1, max_length=240, pattern=PLAIN_TEXT)]
Value = Annotated[str, Meta(min_length=1, max_length=255)]
# So that sums of holds stay far from what 64 bits hold.
Tokens = Annotated[int, Meta(ge=0, le=10**12)]
CostUsd = Annotated[float, Meta(ge=0, le=1e6, description="US dollars")]
Ttl = Annotated[float, Meta(gt=0, le=LONGEST_HOLD_SECONDS, description="seconds until the hold expires")]
Headers = Annotated[dict[str, Annotated[str, Meta(max_length=8192)]], Meta(max_length=_MOST_HEADERS)]


class AuthorizeInput(msgspec.Struct, kw_only=True, gc=False):
    """A call that is about to be made. The virtual key is its value, or is found in `headers` as gateways get it."""

    request_id: RequestId | None = None
    virtual_key: Value | None = None
    provider: Text | None = None
    model: Text | None = None
    estimated_input_tokens: Tokens | None = None
    max_output_tokens: Tokens | None = None
    estimated_cost: CostUsd | None = None
    mcp_tools: Annotated[list[Text], Meta(max_length=_MOST_TOOLS)] | None = None
    headers: Headers | None = None
    ttl: Ttl | None = None

    @property
    def estimated_tokens(self) -> int | None:
        """None when neither side is known."""
        if self.estimated_input_tokens is None and self.max_output_tokens is None:
            return None
        return (self.estimated_input_tokens or 0) + (self.max_output_tokens or 0)


class UsageInput(msgspec.Struct, kw_only=True, gc=False):
    """What a call used. A success without any figure is booked at what its hold held."""

    request_id: RequestId
    virtual_key: Value | None = None
    virtual_key_id: Text | None = None
    provider: Text | None = None
    model: Text | None = None
    input_tokens: Tokens | None = None
    output_tokens: Tokens | None = None
    cached_input_tokens: Tokens | None = None
    cost: CostUsd | None = None
    status: Annotated[ReportedStatus, Meta(description="what became of the call")] = "success"
    occurred_at: Annotated[datetime, Meta(tz=True)] | None = None
    metadata: Annotated[dict[str, Any], Meta(max_length=50)] | None = None

    @property
    def has_figures(self) -> bool:
        return self.input_tokens is not None or self.output_tokens is not None or self.cost is not None


class ReleaseInput(msgspec.Struct, kw_only=True, gc=False):
    """A call that was not made after all."""

    request_id: RequestId


def check_cost(cost_nanousd: int, path: str = "$") -> None:
    """Of tokens, by their price. Raises RefusedError for more than a call can cost."""
    if cost_nanousd > MAX_CALL_NANOUSD:
        raise invalid(path, f"these tokens cost more than {MAX_CALL_NANOUSD // NANOUSD_PER_USD} US dollars")


def check_request_id(request_id: str | None, path: str = "$") -> None:
    """Raises RefusedError for one the ledger may need itself."""
    if request_id is not None and request_id.endswith(LATE_SUFFIX):
        raise invalid(f"{path}.request_id", f"must not end in '{LATE_SUFFIX}': the ledger has such ids of its own")


def check_usage(event: UsageInput, path: str = "$") -> None:
    """Raises RefusedError for what the types do not say."""
    check_request_id(event.request_id, path)
    if event.virtual_key is None and event.virtual_key_id is None:
        raise invalid(f"{path}.virtual_key", "one of 'virtual_key' and 'virtual_key_id' is required")
    if event.metadata is not None:
        encoded = msgspec.json.encode(event.metadata)
        if len(encoded) > _LONGEST_METADATA_BYTES or _NUL.search(encoded):
            raise invalid(f"{path}.metadata", f"holds more than {_LONGEST_METADATA_BYTES} bytes, or control characters")
