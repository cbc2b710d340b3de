"""Secrets are sent rightly, wrongly and malformed to every route, and then looked for where they must not be."""

import re
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from service.domain.sealing import Sealer
from service.governance.access import create_token, revoke_token
from service.http.contract import API, Route
from service.http.routes import ROUTES
from service.settings import Settings
from service.store.postgres import Connection
from tests.api.recorded_service import Answered, Service
from tests.faults.processes import free_port, running, wait_for_status

BOOTSTRAP = "planted-bootstrap-token-0123456789abcdef"
# Sent where secrets are sent, but never rightly: of no use to anyone, and to be repeated or kept nowhere.
STRAY = "planted-stray-secret-0123456789abcdef"
PROVIDER_SECRET = "planted-provider-secret-0123456789abcdef"
MCP_PASSWORD = "planted-mcp-password-0123456789abcdef"
VIRTUAL_KEY_VALUE = re.compile(r"sk-bf-[A-Za-z0-9_-]{20,}")

# What each of these is made with, when its route is there; `{mark}` is a name nothing else has.
MADE: dict[str, dict[str, Any]] = {
    "customers": {"name": "{mark}", "budgets": [{"max_limit": 5, "reset_duration": "1d"}]},
    "teams": {"name": "{mark}"},
    "virtual-keys": {"name": "{mark}", "budgets": [{"max_limit": 5, "reset_duration": "1d"}]},
    "provider-keys": {
        "name": "{mark}",
        "provider": "azure",
        "value": PROVIDER_SECRET,
        "azure_key_config": {"endpoint": "https://a.example", "client_secret": PROVIDER_SECRET},
    },
    "mcp-clients": {
        "name": "{mark}",
        "connection_type": "http",
        "connection_string": f"https://user:{MCP_PASSWORD}@mcp.example/?token={MCP_PASSWORD}",
    },
}
WRONG_BODIES = [
    b'{"name": "x", "value": "%s"' % STRAY.encode(),
    b"value=%s" % STRAY.encode(),
    b'"%s"' % STRAY.encode(),
    b'{"value": "%s", "\xff": 1}' % STRAY.encode(),
    *map(
        msgspec.json.encode,
        (
            {"value": STRAY},
            {"name": 5, "value": STRAY, "connection_string": STRAY},
            {"name": "", "value": STRAY, "azure_key_config": {"client_secret": STRAY}},
            {"name": "x", "value": [STRAY], "azure_key_config": STRAY, "budgets": STRAY, "provider_configs": [STRAY]},
        ),
    ),
]
MALFORMED = [
    b"GET / HTTP/1.1\r\nAuthorization Bearer %s\r\n\r\n",
    b"GET /\x00 HTTP/1.1\r\nAuthorization: Bearer %s\r\n\r\n",
    b"POST /api/governance/customers HTTP/1.1\r\nHost: a\r\nContent-Length: x%s\r\n\r\n",
    b"%s\r\n\r\n",
]


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="governance-") as folder:
        yield Path(folder)


@pytest.fixture
async def bearers(connection: Connection, sealer: Sealer) -> dict[str, str]:
    tokens = {
        scope: (await create_token(connection, sealer, name=scope, scope=scope, expires_at=None, actor="test")).value
        for scope in ("admin", "read", "gateway")
    }
    gone = await create_token(connection, sealer, name="gone", scope="admin", expires_at=None, actor="test")
    await revoke_token(connection, name="gone", actor="test")
    return {**tokens, "bootstrap": BOOTSTRAP, "revoked": gone.value, "mistyped": tokens["admin"] + "x"}


@pytest.fixture
async def service(folder: Path, settings: Settings, bearers: dict[str, str]) -> AsyncIterator[tuple[Service, Path]]:
    """With everything logged, and where the log is."""
    port = free_port()
    environment = {
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "GOVERNANCE_ENCRYPTION_KEY": settings.encryption_key,
        "GOVERNANCE_ADMIN_TOKEN": BOOTSTRAP,
        "GOVERNANCE_LOG_LEVEL": "debug",
        "GOVERNANCE_ACCESS_LOG": "on",
        "GOVERNANCE_DRAIN_SECONDS": "0",
        "PORT": str(port),
    }
    with running("serve", folder=folder, environment=environment):
        await wait_for_status(port, "/ready", 200)
        service = Service(port, bearers)
        yield service, folder / "output.log"
        await service.close()


def routes(method: str) -> list[Route]:
    return [route for route in ROUTES if route.method == method]


def path_of(route: Route, ids: Mapping[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda match: ids.get(match[1], "nobody"), route.path)


async def make_each(service: Service) -> dict[str, str]:
    """One of each kind, made twice with the same Idempotency-Key; ids by their names in paths."""
    posted = {route.path for route in routes("POST")}
    ids: dict[str, str] = {}
    for kind, fields in MADE.items():
        if f"{API}/{kind}" not in posted:
            continue
        body = msgspec.json.encode(fields).replace(b"{mark}", kind.encode())
        field = kind.replace("-", "_").removesuffix("s")
        for _ in range(2):
            once = {"Idempotency-Key": kind}
            answer = await service.ask("bootstrap", "POST", f"{API}/{kind}", body=body, headers=once)
            assert answer.status in (200, 201), answer
        made = msgspec.json.decode(answer.text)[field]
        ids[f"{field}_id"] = str(made["id"])
        if kind == "virtual-keys":
            ids["budget_id"] = made["budgets"][0]["id"]
    return ids


async def ask_everything(service: Service, ids: Mapping[str, str]) -> None:
    for raw in MALFORMED:
        await service.say(raw % STRAY.encode())
    for route in (route for method in ("POST", "PUT") for route in routes(method)):
        for body in WRONG_BODIES:
            await service.ask("bootstrap", route.method, path_of(route, ids), body=body)
        text = {"Content-Type": "text/plain"}
        await service.ask("bootstrap", route.method, path_of(route, ids), body=STRAY.encode(), headers=text)
        await service.ask("bootstrap", route.method, path_of(route, ids), body=b"{}")
    for route in ROUTES:
        for bearer in ("nobody", *service.bearers):
            if (route.method, bearer) not in {("DELETE", "bootstrap"), ("DELETE", "admin")}:
                await service.ask(bearer, route.method, path_of(route, ids))
                await service.ask(bearer, route.method, path_of(route, {}))
    for route in routes("GET"):
        for name in ("token", "limit", "offset", "from", "before_id", "order"):
            await service.ask("read", "GET", f"{path_of(route, ids)}?{name}={STRAY}")
        await service.ask("nobody", "GET", path_of(route, ids), headers={"X-Api-Key": STRAY, "x-bf-vk": STRAY})


async def use_virtual_keys(service: Service) -> set[str]:
    """Present every value an admin was shown, where it is asked for and where it is not."""
    values = {value for answer in service.answers for value in VIRTUAL_KEY_VALUE.findall(answer.text)}
    for value in sorted(values):
        for suffix in ("", "x"):
            presented = {"x-bf-vk": value + suffix}
            await service.ask("nobody", "GET", f"{API}/virtual-keys/quota", headers=presented)
            borne = {"Authorization": f"Bearer {value}{suffix}"}
            await service.ask("nobody", "GET", f"{API}/customers", headers=borne)
            await service.ask("nobody", "GET", f"{API}/virtual-keys/quota?x-bf-vk={value}{suffix}")
    return values


async def read_all_audit_logs(service: Service) -> list[Answered]:
    """Every page there is."""
    pages = [await service.ask("bootstrap", "GET", f"{API}/audit-logs?limit=100")]
    while entries := msgspec.json.decode(pages[-1].text)["audit_logs"]:
        before = entries[-1]["id"]
        pages.append(await service.ask("bootstrap", "GET", f"{API}/audit-logs?limit=100&before_id={before}"))
    return pages


async def dump(connection: Connection) -> str:
    """All rows of all tables as text, bytes in hex and escaped."""
    tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    texts: list[str] = []
    for form in ("hex", "escape"):
        await connection.execute(f"SET bytea_output = '{form}'")
        for (table,) in tables:
            texts += [row["text"] for row in await connection.fetch(f'SELECT t::text AS text FROM "{table}" AS t')]
    return "\n".join(texts)


def forms(secret: str) -> tuple[str, ...]:
    return (secret, secret.encode().hex())


async def test_a_secret_is_only_where_it_belongs(
    service: tuple[Service, Path], settings: Settings, connection: Connection
) -> None:
    asked, log = service
    ids = await make_each(asked)
    await ask_everything(asked, ids)
    values = await use_virtual_keys(asked)
    assert len(values) >= 2, "a made key and a rotated one"
    nobodys = {*asked.bearers.values(), settings.encryption_key, STRAY, PROVIDER_SECRET, MCP_PASSWORD}

    pages = await read_all_audit_logs(asked)
    assert sum(page.text.count('"changes"') for page in pages) > len(ids)
    for answer in asked.answers:
        told = answer.status < 400 and answer.to in ("admin", "bootstrap") and answer not in pages
        hidden = nobodys if told else nobodys | values
        assert not [secret for secret in hidden if secret in answer.text], answer
        assert answer.status != 500, answer

    logged = log.read_text()
    assert "serving" in logged
    stored = await dump(connection)
    assert "virtual-keys" in stored
    for secret in nobodys | values:
        assert secret not in logged
        assert not [form for form in forms(secret) if form in stored]
