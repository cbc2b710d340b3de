"""What the service logs of requests: a line each when asked for, none by default; the request's id in every line."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from service.settings import Settings
from service.store.postgres import Connection
from tests.faults.processes import Running, free_port, running, wait_for_status
from tests.waiting import until

CUSTOMERS = "/api/governance/customers"


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="governance-") as folder:
        yield Path(folder)


@pytest.fixture
def environment(settings: Settings) -> dict[str, str]:
    return {
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "GOVERNANCE_ENCRYPTION_KEY": settings.encryption_key,
        "GOVERNANCE_ADMIN_TOKEN": "a-token-of-at-least-thirty-two-characters",
        "GOVERNANCE_DRAIN_SECONDS": "0",
        "GOVERNANCE_LOG_FORMAT": "json",
        "PORT": str(free_port()),
    }


async def ask(environment: dict[str, str], path: str, request_id: str, *, token: str | None = None) -> int:
    token = environment["GOVERNANCE_ADMIN_TOKEN"] if token is None else token
    headers = {"X-Request-Id": request_id, "Authorization": f"Bearer {token}"}
    url = f"http://127.0.0.1:{environment['PORT']}{path}"
    async with aiohttp.ClientSession(headers=headers) as session, session.get(url) as response:
        return response.status


def lines(service: Running, event: str) -> list[dict[str, Any]]:
    logged = [json.loads(line) for line in service.output.splitlines() if line.startswith("{")]
    return [line for line in logged if line["event"] == event]


async def test_each_request_is_a_line_when_asked_for_with_nothing_a_client_could_hide_a_secret_in(
    folder: Path, environment: dict[str, str]
) -> None:
    environment["GOVERNANCE_ACCESS_LOG"] = "on"
    with running("serve", folder=folder, environment=environment) as service:
        await wait_for_status(int(environment["PORT"]), "/ready", 200)
        assert await ask(environment, f"{CUSTOMERS}?search=sesame", "first") == 200
        assert await ask(environment, f"{CUSTOMERS}/sesame", "second") == 404
        assert await ask(environment, CUSTOMERS, "third", token="sesame") == 401
        assert await ask(environment, "/sesame", "no id: sesame") == 404

        async def logged() -> bool:
            return len([line for line in lines(service, "request") if line["operation"] != "get_ready"]) == 4

        await until(logged)
        requests = [line for line in lines(service, "request") if line["operation"] != "get_ready"]
        assert [(line["operation"], line["status"], line["actor"]) for line in requests] == [
            ("list_customers", 200, "bootstrap"),
            ("get_customer", 404, "bootstrap"),
            ("list_customers", 401, None),
            ("none", 404, None),
        ]
        assert [line["request_id"] for line in requests[:3]] == ["first", "second", "third"]
        assert all(line["ms"] > 0 and line["remote"] == "127.0.0.1" for line in requests)
        assert "sesame" not in service.output


@pytest.mark.own_database
async def test_by_default_requests_are_not_logged_and_what_goes_wrong_names_its_request(
    folder: Path, environment: dict[str, str], connection: Connection
) -> None:
    with running("serve", folder=folder, environment=environment) as service:
        await wait_for_status(int(environment["PORT"]), "/ready", 200)
        assert await ask(environment, CUSTOMERS, "well") == 200
        await connection.execute("ALTER TABLE customers RENAME COLUMN name TO nome")
        assert await ask(environment, CUSTOMERS, "not-well") == 503

        async def logged() -> bool:
            return lines(service, "Postgres refused a statement") != []

        await until(logged)
        assert {line["request_id"] for line in lines(service, "Postgres refused a statement")} == {"not-well"}
        assert all("request_id" not in line for line in lines(service, "component changed"))
        assert lines(service, "request") == []
