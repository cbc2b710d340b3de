"""Who may do what: three scopes of API tokens, and what each of them reaches."""

from datetime import datetime
from typing import Literal

import msgspec

Scope = Literal["read", "admin", "gateway"]

# What a route asks for. `open` asks for nothing, `virtual_key` for a virtual key and no token; `forward_auth` for a
# gateway, which shows its token apart from what its client sent.
RouteScope = Literal["open", "virtual_key", "read", "admin", "gateway", "forward_auth"]

_REACHES: dict[Scope, frozenset[RouteScope]] = {
    "read": frozenset({"open", "read"}),
    "gateway": frozenset({"open", "gateway", "forward_auth"}),
    "admin": frozenset({"open", "read", "admin", "gateway", "forward_auth"}),
}


class Principal(msgspec.Struct, frozen=True):
    """Who asks: the name of the token, as the audit log has it, and its scope."""

    name: str
    scope: Scope

    def may(self, route_scope: RouteScope) -> bool:
        return route_scope in _REACHES[self.scope]

    @property
    def sees_secrets(self) -> bool:
        """Whether values of virtual keys are shown in full."""
        return self.scope == "admin"


class ApiToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token as it is kept: never its value."""

    id: str
    name: str
    scope: Scope
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def state(self, now: datetime) -> Literal["active", "expired", "revoked"]:
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at is not None and now >= self.expires_at:
            return "expired"
        return "active"


# Who asks from a trusted network.
TRUSTED_GATEWAY = Principal(name="trusted network", scope="gateway")
# Where authentication is off, everyone is this.
ANYONE = Principal(name="anyone", scope="admin")
# The bearer of GOVERNANCE_ADMIN_TOKEN.
BOOTSTRAP = Principal(name="bootstrap", scope="admin")
