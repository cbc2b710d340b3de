"""Pages of allowed origins may call the service from a browser; nobody else's, and nobody's unless told."""

from collections.abc import Awaitable, Callable

import msgspec
import pytest

from service.app import build_app
from service.settings import Settings
from tests.conftest import TestApi

CUSTOMERS = "/api/governance/customers"
APP = "https://app.example.com"
Serve = Callable[[str], Awaitable[TestApi]]


@pytest.fixture
def serve(storeless_settings: Settings, aiohttp_client: Callable[..., Awaitable[TestApi]]) -> Serve:
    """The service, asking for tokens, with pages of these origins allowed."""

    async def serve(allowed: str) -> TestApi:
        settings = msgspec.structs.replace(storeless_settings, auth="on", allowed_origins=allowed)
        return await aiohttp_client(build_app(settings))

    return serve


async def preflight(api: TestApi, origin: str, path: str = CUSTOMERS) -> tuple[int, dict[str, str]]:
    """The status, and what of the headers is about other origins."""
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    response = await api.options(path, headers=asked)
    return response.status, {name: value for name, value in response.headers.items() if name.startswith("Access-")}


async def test_an_allowed_origin_is_told_what_it_may_send_without_a_token(serve: Serve) -> None:
    api = await serve(APP)
    status, headers = await preflight(api, APP)
    assert status == 200
    assert headers["Access-Control-Allow-Origin"] == APP
    assert set(headers["Access-Control-Allow-Methods"].split(", ")) == {"GET", "HEAD", "POST"}
    expected = {"Content-Type", "Authorization", "Idempotency-Key", "If-Match", "X-Request-Id", "x-bf-vk"}
    assert set(headers["Access-Control-Allow-Headers"].split(", ")) == expected
    assert headers["Access-Control-Max-Age"] == "86400"
    _, headers = await preflight(api, APP, f"{CUSTOMERS}/any")
    assert set(headers["Access-Control-Allow-Methods"].split(", ")) == {"GET", "HEAD", "PUT", "DELETE"}


async def test_another_origin_is_refused_and_named_in_nothing(serve: Serve) -> None:
    api = await serve(APP)
    assert await preflight(api, "https://evil.example") == (403, {})
    response = await api.get("/health", headers={"Origin": "https://evil.example"})
    assert response.status == 200
    assert not [name for name in response.headers if name.startswith("Access-")]
    assert response.headers["Vary"] == "Origin"


@pytest.mark.parametrize(("path", "status"), [("/health", 200), (CUSTOMERS, 401), ("/nowhere", 404)])
async def test_a_page_may_read_every_answer_its_refusals_too(serve: Serve, path: str, status: int) -> None:
    response = await (await serve(APP)).get(path, headers={"Origin": APP})
    assert response.status == status
    assert response.headers["Access-Control-Allow-Origin"] == APP
    exposed = {"ETag", "X-Governance-Usage-Source", "Idempotent-Replayed", "X-Request-Id"}
    assert set(response.headers["Access-Control-Expose-Headers"].split(", ")) == exposed
    assert response.headers["Access-Control-Allow-Credentials"] == "true"
    assert response.headers["Vary"] == "Origin"


async def test_nothing_is_said_of_origins_unless_one_is_allowed(serve: Serve) -> None:
    api = await serve("")
    assert await preflight(api, APP) == (405, {})
    response = await api.get("/health", headers={"Origin": APP})
    assert "Vary" not in response.headers
    assert not [name for name in response.headers if name.startswith("Access-")]


async def test_credentials_are_never_for_everyone(serve: Serve) -> None:
    api = await serve(f"*, {APP}")
    for origin in ("https://anyone.example", "null"):
        status, headers = await preflight(api, origin)
        assert (status, headers["Access-Control-Allow-Origin"]) == (200, origin)
        assert "Access-Control-Allow-Credentials" not in headers
        response = await api.get("/health", headers={"Origin": origin})
        assert "Access-Control-Allow-Credentials" not in response.headers
    assert (await preflight(api, APP))[1]["Access-Control-Allow-Credentials"] == "true"


@pytest.mark.parametrize(
    ("allowed", "origin", "status"),
    [
        ("https://*.example.com", "https://a.example.com", 200),
        ("https://*.example.com", "https://a.b.example.com", 200),
        ("https://*.example.com", "https://example.com", 403),
        ("https://*.example.com", "http://a.example.com", 403),
        ("https://*.example.com", "https://a.example.com:8443", 403),
        ("https://*.example.com", "https://a.example.com.evil.example", 403),
        ("https://*.example.com", "https://evil.example/.example.com", 403),
        ("https://*.example.com", "https://evil.example:1@a.example.com", 403),
        ("https://a.example.com", "https://axexample.com", 403),
        ("https://a.example, http://localhost:3000", "http://localhost:3000", 200),
        ("https://a.example, http://localhost:3000", "http://localhost:30001", 403),
        ("https://A.Example", "https://a.example", 200),
    ],
)
async def test_a_star_stands_for_a_part_of_a_host_and_nothing_else(
    serve: Serve, allowed: str, origin: str, status: int
) -> None:
    assert (await preflight(await serve(allowed), origin))[0] == status


async def test_a_path_that_is_none_has_no_preflight(serve: Serve) -> None:
    assert (await preflight(await serve(APP), APP, "/nowhere"))[0] == 404


@pytest.mark.parametrize("headers", [{}, {"Origin": APP}, {"Access-Control-Request-Method": "POST"}])
async def test_options_that_ask_for_no_preflight_are_no_method(serve: Serve, headers: dict[str, str]) -> None:
    assert (await (await serve(APP)).options(CUSTOMERS, headers=headers)).status == 405
