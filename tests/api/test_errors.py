"""Refusals: one envelope, a clear message, never the inside of the service."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import ClientResponse, web

from service.app import build_app
from service.settings import Settings
from tests.api.raw_http import send_raw
from tests.conftest import TestApi
from tests.reading import CUSTOMERS

SECRET = "what-only-the-inside-knows"
LIMIT_BYTES = 1024 * 1024


@pytest.fixture
async def api_with_two_more_routes(
    storeless_settings: Settings, aiohttp_client: Callable[..., Awaitable[TestApi]]
) -> TestApi:
    """POST /size answers how many bytes it was sent; GET /fault raises."""

    async def size(request: web.Request) -> web.Response:
        return web.Response(text=str(len(await request.read())))

    async def fault(request: web.Request) -> web.Response:
        raise RuntimeError(SECRET)

    app = build_app(storeless_settings)
    app.router.add_post("/size", size)
    app.router.add_get("/fault", fault)
    return await aiohttp_client(app)


async def assert_refused(response: ClientResponse, status: int, message: str) -> None:
    assert response.status == status
    assert response.content_type == "application/json"
    assert await response.json() == {
        "is_bifrost_error": False,
        "status_code": status,
        "error": {"message": message},
        "extra_fields": {},
    }


def assert_guarded(response: ClientResponse) -> None:
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "aiohttp" not in response.headers.get("Server", "").lower()
    assert "python" not in response.headers.get("Server", "").lower()


async def test_a_bad_value_is_a_400_that_names_it(storeless_api: TestApi) -> None:
    response = await storeless_api.get(CUSTOMERS, params={"limit": "many"})
    await assert_refused(response, 400, "query parameter 'limit' must be a number")


@pytest.mark.parametrize("path", ["/", "/nope", "/api/governance", f"{CUSTOMERS}/", f"{CUSTOMERS}/a/b", "/{path}"])
async def test_an_unknown_route_is_a_404_that_names_it(storeless_api: TestApi, path: str) -> None:
    await assert_refused(await storeless_api.get(path), 404, f"No such route: GET {path}")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
async def test_a_wrong_method_is_a_405_that_says_which_are_right(storeless_api: TestApi, method: str) -> None:
    response = await storeless_api.request(method, CUSTOMERS)
    await assert_refused(response, 405, f"Method {method} is not allowed for {CUSTOMERS}")
    assert set(response.headers["Allow"].split(",")) == {"GET", "HEAD", "POST"}


async def test_a_body_said_to_be_too_large_is_refused_before_it_is_read(storeless_api: TestApi) -> None:
    head = f"POST {CUSTOMERS} HTTP/1.1\r\nHost: x\r\nContent-Length: {LIMIT_BYTES + 1}\r\n\r\n"
    answer = await send_raw(storeless_api, head.encode(), half_close=True)
    assert answer.status == 413
    assert b"The request body is too large" in answer.rest


async def test_a_body_that_turns_out_too_large_is_refused(api_with_two_more_routes: TestApi) -> None:
    async def pieces(size_bytes: int) -> AsyncIterator[bytes]:
        for _ in range(0, size_bytes, 65536):
            yield bytes(65536)

    fits = await api_with_two_more_routes.post("/size", data=pieces(LIMIT_BYTES))
    assert (fits.status, await fits.text()) == (200, str(LIMIT_BYTES))
    refused = await api_with_two_more_routes.post("/size", data=pieces(LIMIT_BYTES + 1))
    await assert_refused(refused, 413, "The request body is too large")
    assert_guarded(refused)


async def test_without_its_database_a_read_is_a_503_to_try_again(storeless_api: TestApi) -> None:
    for path in (CUSTOMERS, f"{CUSTOMERS}/acme"):
        response = await storeless_api.get(path)
        await assert_refused(response, 503, "Postgres does not answer")
        assert int(response.headers["Retry-After"]) >= 1


async def test_a_fault_of_ours_does_not_show_the_inside(
    api_with_two_more_routes: TestApi, capfd: pytest.CaptureFixture[str]
) -> None:
    response = await api_with_two_more_routes.get("/fault")
    await assert_refused(response, 500, "Internal error")
    assert_guarded(response)
    logged = "".join(capfd.readouterr())
    assert "RuntimeError" in logged
    assert SECRET not in logged


async def test_every_answer_forbids_keeping_and_guessing_it(storeless_api: TestApi) -> None:
    cases = {"/health": 200, "/nope": 404, f"{CUSTOMERS}?limit=x": 400, CUSTOMERS: 503, "/ready": 503}
    for path, status in cases.items():
        response = await storeless_api.get(path)
        assert (path, response.status) == (path, status)
        assert_guarded(response)
    assert_guarded(await storeless_api.post(CUSTOMERS))
