"""Every route × every kind of bearer: who gets in is what the table of routes declares."""

import re
from collections.abc import Awaitable, Callable
from datetime import timedelta

import msgspec
import pytest

from service.app import build_app
from service.domain.access import RouteScope, Scope
from service.domain.sealing import Sealer, new_virtual_key_value
from service.governance.access import create_token, revoke_token
from service.http.contract import Route
from service.http.routes import ROUTES
from service.settings import Settings
from service.store.postgres import Connection
from tests.conftest import Clock, TestApi
from tests.factories import Factory

ADMIN_TOKEN = "bootstrap-token-of-at-least-32-characters"
CUSTOMERS = "/api/governance/customers"

# Which status a route of each scope answers to each bearer, before it looks at anything else; None: it is let in.
EXPECTED: dict[RouteScope, dict[str, int | None]] = {
    "open": dict.fromkeys(
        ("nobody", "wrong", "expired", "revoked", "virtual key", "read", "gateway", "admin", "bootstrap")
    ),
    "virtual_key": {
        **dict.fromkeys(("nobody", "wrong", "expired", "revoked", "read", "gateway", "admin", "bootstrap"), 401),
        "virtual key": None,
    },
    "read": {
        **dict.fromkeys(("nobody", "wrong", "expired", "revoked", "virtual key"), 401),
        "gateway": 403,
        **dict.fromkeys(("read", "admin", "bootstrap")),
    },
    "admin": {
        **dict.fromkeys(("nobody", "wrong", "expired", "revoked", "virtual key"), 401),
        **dict.fromkeys(("read", "gateway"), 403),
        **dict.fromkeys(("admin", "bootstrap")),
    },
    "gateway": {
        **dict.fromkeys(("nobody", "wrong", "expired", "revoked", "virtual key"), 401),
        "read": 403,
        **dict.fromkeys(("gateway", "admin", "bootstrap")),
    },
    "forward_auth": {
        **dict.fromkeys(("nobody", "wrong", "expired", "revoked", "virtual key"), 401),
        "read": 403,
        **dict.fromkeys(("gateway", "admin", "bootstrap")),
    },
}


@pytest.fixture
async def bearers(connection: Connection, sealer: Sealer, make: Factory, clock: Clock) -> dict[str, str | None]:
    """What each kind of bearer presents."""

    async def token(name: str, scope: Scope, hours: float | None = None) -> str:
        expires_at = None if hours is None else clock() + timedelta(hours=hours)
        issued = await create_token(connection, sealer, name=name, scope=scope, expires_at=expires_at, actor="test")
        return issued.value

    revoked = await token("revoked", "admin")
    await revoke_token(connection, name="revoked", actor="test")
    virtual_key = new_virtual_key_value()
    await make.virtual_key(value=virtual_key, allow_all_providers=True)
    return {
        "nobody": None,
        "wrong": "gov_wrong",
        "expired": await token("expired", "admin", hours=-1),
        "revoked": revoked,
        "virtual key": virtual_key,
        "read": await token("read", "read", hours=1),
        "gateway": await token("gateway", "gateway"),
        "admin": await token("admin", "admin"),
        "bootstrap": ADMIN_TOKEN,
    }


@pytest.fixture
async def guarded(settings: Settings, clock: Clock, aiohttp_client: Callable[..., Awaitable[TestApi]]) -> TestApi:
    """The service with authentication on."""
    asking = msgspec.structs.replace(settings, auth="on", admin_token=ADMIN_TOKEN)
    return await aiohttp_client(build_app(asking, clock=clock))


def _headers(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
async def test_a_route_lets_in_whom_it_declares(guarded: TestApi, bearers: dict[str, str | None], route: Route) -> None:
    path = re.sub(r"\{\w+\}", "no-such-entity", route.path)
    for bearer, token in bearers.items():
        headers = _headers(token)
        if route.scope == "forward_auth":
            # There, Authorization is the client's.
            headers = {"x-governance-token": token or "", "x-bf-vk": bearers["virtual key"] or ""}
        response = await guarded.request(route.shown_method, path, headers=headers)
        refused = response.status if response.status in (401, 403) else None
        assert refused == EXPECTED[route.scope][bearer], f"{bearer}: {await response.text()}"


async def test_a_refusal_says_what_is_needed_and_repeats_no_token(
    guarded: TestApi, bearers: dict[str, str | None]
) -> None:
    response = await guarded.get(CUSTOMERS, headers=_headers("gov_a-secret-that-was-mistyped"))
    assert response.status == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert "mistyped" not in await response.text()
    response = await guarded.get(CUSTOMERS, headers=_headers(bearers["gateway"]))
    assert "'read'" in (await response.json())["error"]["message"]


async def test_two_authorization_headers_are_refused(guarded: TestApi, bearers: dict[str, str | None]) -> None:
    headers = [("Authorization", f"Bearer {bearers['admin']}"), ("Authorization", "Bearer gov_another")]
    assert (await guarded.get(CUSTOMERS, headers=headers)).status == 400


async def test_a_revoked_token_is_shut_out_within_a_second(
    guarded: TestApi, bearers: dict[str, str | None], connection: Connection, clock: Clock
) -> None:
    assert (await guarded.get(CUSTOMERS, headers=_headers(bearers["admin"]))).status == 200
    await revoke_token(connection, name="admin", actor="test")
    clock.forward(seconds=1)
    assert (await guarded.get(CUSTOMERS, headers=_headers(bearers["admin"]))).status == 401


async def test_a_reader_sees_the_tree_with_key_values_masked(
    guarded: TestApi, bearers: dict[str, str | None], make: Factory
) -> None:
    customer_id = await make.customer()
    await make.virtual_key(customer_id=customer_id, value="sk-bf-for-admins-only")
    full = await (await guarded.get(CUSTOMERS, headers=_headers(bearers["admin"]))).text()
    masked = await (await guarded.get(CUSTOMERS, headers=_headers(bearers["read"]))).text()
    assert "sk-bf-for-admins-only" in full
    assert masked == full.replace("sk-bf-for-admins-only", "sk-bf-********")


async def test_making_and_revoking_a_token_is_in_the_audit_log_without_it(
    bearers: dict[str, str | None], connection: Connection
) -> None:
    rows = await connection.fetch("SELECT actor, action, changes::text FROM audit_log ORDER BY id")
    assert [row["action"] for row in rows].count("api_token.revoke") == 1
    assert {row["actor"] for row in rows} == {"test"}
    stored = " ".join(row["changes"] for row in rows)
    assert not any(value in stored for value in bearers.values() if value)
    hashes = await connection.fetch("SELECT token_hash FROM api_tokens")
    assert not any(value.encode() in row["token_hash"] for row in hashes for value in bearers.values() if value)
