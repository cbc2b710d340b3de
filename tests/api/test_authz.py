"""Forward auth: what a gateway passes on decides, and status and headers say all of the answer."""

import re
from collections.abc import Awaitable, Callable
from io import BytesIO
from itertools import product
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from service.app import build_app
from service.settings import Settings
from tests.api.calls import make_entity, send
from tests.api.forward_auth import make_key, report
from tests.api.raw_http import send_raw
from tests.conftest import Clock, TestApi

AUTHORIZE = "/api/governance/authorize"
BUDGET = [{"max_limit": 1, "reset_duration": "1d"}]
ONE_MODEL = [{"provider": "openai", "allowed_models": ["gpt-4o"], "key_ids": ["*"]}]


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE")
PATHS = ("/authz", "/authz/", "/authz/v1/chat/completions?stream=1", "/authz/%ff//../x")


async def test_any_method_and_path_are_allowed_by_200_and_an_empty_body(api: TestApi) -> None:
    key = await make_key(api)
    for method, path in product(METHODS, PATHS):
        raw = f"{method} {path} HTTP/1.1\r\nHost: x\r\nx-bf-vk: {key['value']}\r\nConnection: close\r\n\r\n"
        answer = await send_raw(api, raw.encode())
        assert (answer.status, answer.rest) == (200, b""), f"{method} {path}"
        assert method == "HEAD" or "content-length: 0" in answer.head.lower()


HEADERS = ("x-bf-vk", "Authorization", "x-api-key", "x-goog-api-key", "api-key")


async def test_the_key_is_read_from_every_header_clients_have_for_one(api: TestApi) -> None:
    key = await make_key(api)
    for header in HEADERS:
        value = f"Bearer {key['value']}" if header == "Authorization" else key["value"]
        assert (await api.get("/authz", headers={header: value})).status == 200, header


async def test_an_allowed_call_is_told_who_it_is_and_where_it_may_go(api: TestApi) -> None:
    customer = await make_entity(api, "customers", name="Acme")
    team = await make_entity(api, "teams", name="Search", customer_id=customer["id"])
    key = await make_key(api, team_id=team["id"])
    headers = (await api.get("/authz", headers={"x-bf-vk": key["value"]})).headers
    told = [headers[f"x-governance-{name}-id"] for name in ("virtual-key", "team", "customer")]
    assert told == [key["id"], team["id"], customer["id"]]
    assert headers["x-governance-provider"] == "openai"
    assert 0 < float(headers["x-governance-overhead-ms"]) < 5000


async def test_an_owner_there_is_not_is_told_empty_so_that_no_client_fills_it_in(api: TestApi) -> None:
    key = await make_key(api)
    forged = {"x-bf-vk": key["value"], "x-governance-team-id": "admins", "x-governance-virtual-key-id": "another"}
    headers = (await api.get("/authz", headers=forged)).headers
    assert headers["x-governance-team-id"] == headers["x-governance-customer-id"] == ""
    assert headers["x-governance-virtual-key-id"] == key["id"]


async def test_ids_that_no_header_can_hold_are_escaped(api: TestApi, make: Any) -> None:
    await make.virtual_key(id="schlüssel%", value="sk-bf-of-this-test", allow_all_providers=True)
    headers = (await api.get("/authz", headers={"x-bf-vk": "sk-bf-of-this-test"})).headers
    assert headers["x-governance-virtual-key-id"] == "schl%C3%BCssel%25"


async def test_usage_reported_under_the_id_it_was_given_settles_the_call(api: TestApi) -> None:
    key = await make_key(api, budgets=BUDGET)
    asked = {"x-bf-vk": key["value"], "x-governance-estimated-cost": "0.75", "x-governance-model": "gpt-4o"}
    first = await api.get("/authz", headers=asked)
    assert (await api.get("/authz", headers=asked)).status == 402
    await report(api, first.headers["x-governance-request-id"], key, cost=0.25)
    assert (await api.get("/authz", headers=asked)).status == 200


async def test_an_id_the_gateway_made_asks_for_one_call_however_often_it_is_sent(api: TestApi) -> None:
    key = await make_key(api, budgets=BUDGET)
    asked = {"x-bf-vk": key["value"], "x-governance-estimated-cost": "1", "x-governance-request-id": "gw-1"}
    for _ in range(3):
        answer = await api.get("/authz", headers=asked)
        assert (answer.status, answer.headers["x-governance-request-id"]) == (200, "gw-1")


async def test_a_client_that_repeats_its_request_id_gets_no_call_for_free(api: TestApi) -> None:
    key = await make_key(api, budgets=BUDGET)
    asked = {"x-bf-vk": key["value"], "x-governance-estimated-cost": "1", "x-request-id": "mine"}
    first = await api.get("/authz", headers=asked)
    assert re.fullmatch(r"mine\.[0-9a-f]{16}", first.headers["x-governance-request-id"])
    assert (await api.get("/authz", headers=asked)).status == 402


REFUSALS: list[tuple[dict[str, Any], dict[str, str], int, str]] = [
    ({}, {"x-bf-vk": "sk-bf-nobody"}, 401, "access_not_found"),
    ({"is_active": False}, {}, 403, "access_blocked"),
    ({}, {"x-governance-provider": "anthropic"}, 403, "provider_blocked"),
    ({"provider_configs": ONE_MODEL}, {"x-governance-model": "o3"}, 403, "model_blocked"),
    ({"budgets": BUDGET}, {"x-governance-estimated-cost": "2"}, 402, "budget_exceeded"),
    (
        {"rate_limit": {"token_max_limit": 10, "token_reset_duration": "1h"}},
        {"x-governance-estimated-input-tokens": "11"},
        429,
        "token_limited",
    ),
]


@pytest.mark.parametrize(("fields", "headers", "status", "kind"), REFUSALS, ids=lambda value: str(value)[:40])
async def test_a_refusal_has_the_status_and_body_of_bifrost(
    api: TestApi, fields: dict[str, Any], headers: dict[str, str], status: int, kind: str
) -> None:
    key = await make_key(api, **fields)
    answer = await api.get("/authz", headers={"x-bf-vk": key["value"], **headers})
    assert answer.status == status
    body = await answer.json()
    message = body["error"]["message"]
    assert body == {
        "is_bifrost_error": False,
        "type": kind,
        "status_code": status,
        "error": {"type": kind, "message": message},
        "extra_fields": {},
    }
    assert (answer.headers["x-governance-status"], answer.headers["x-governance-reason"]) == (str(status), kind)
    assert answer.headers["x-governance-message"] == message
    strict = await api.get("/authz?deny_status=403", headers={"x-bf-vk": key["value"], **headers})
    assert (strict.status, strict.headers["x-governance-status"]) == (403, str(status))
    assert (await strict.json())["status_code"] == status


async def test_without_a_key_it_is_401_and_a_query_of_the_client_s_own_changes_nothing(api: TestApi) -> None:
    answer = await api.get("/authz?deny_status=200&model=x&deny_status=403")
    assert answer.status == 401
    assert (await answer.json())["type"] == "virtual_key_required"


async def test_a_refusal_says_after_how_long_to_ask_again(api: TestApi, clock: Clock) -> None:
    clock.now = clock.now.replace(microsecond=0)
    key = await make_key(api, rate_limit={"request_max_limit": 1, "request_reset_duration": "1h"})
    assert (await api.get("/authz", headers={"x-bf-vk": key["value"]})).status == 200
    clock.forward(minutes=20)
    answer = await api.get("/authz", headers={"x-bf-vk": key["value"]})
    retry_after = int(answer.headers["Retry-After"])
    assert (answer.status, answer.headers["RateLimit"]) == (429, f'"requests";r=0;t={retry_after}')
    clock.forward(seconds=retry_after - 2)
    assert (await api.get("/authz", headers={"x-bf-vk": key["value"]})).status == 429
    clock.forward(seconds=2)
    assert (await api.get("/authz", headers={"x-bf-vk": key["value"]})).status == 200


async def test_no_waiting_is_told_of_where_it_does_not_help(api: TestApi) -> None:
    key = await make_key(api)
    answer = await api.get("/authz", headers={"x-bf-vk": key["value"], "x-governance-provider": "anthropic"})
    assert "Retry-After" not in answer.headers


async def test_the_tightest_limits_are_told_as_they_are_after_the_call(api: TestApi) -> None:
    loose = {"token_max_limit": 9000, "token_reset_duration": "1h"}
    team = await make_entity(api, "teams", name="Search", rate_limit=loose)
    tight = {
        "token_max_limit": 1000,
        "token_reset_duration": "1d",
        "request_max_limit": 5,
        "request_reset_duration": "1h",
    }
    key = await make_key(api, team_id=team["id"], rate_limit=tight)
    asked = {"x-bf-vk": key["value"], "x-governance-estimated-input-tokens": "300"}
    headers = (await api.get("/authz", headers=asked)).headers
    assert headers["RateLimit-Policy"] == '"requests";q=5;w=3600, "tokens";q=1000;qu="tokens";w=86400'
    assert re.fullmatch(r'"requests";r=4;t=\d+, "tokens";r=700;t=\d+', headers["RateLimit"])
    told = {name: headers[f"x-ratelimit-{name}"] for name in ("limit-tokens", "remaining-tokens", "remaining-requests")}
    assert told == {"limit-tokens": "1000", "remaining-tokens": "700", "remaining-requests": "4"}
    assert re.fullmatch(r"\d+s", headers["x-ratelimit-reset-tokens"])


NAMED: list[tuple[str, dict[str, str], Any]] = [
    ("/authz", {}, {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}),
    ("/authz/v1/chat/completions", {}, {"model": "openai/gpt-4o", "messages": []}),
    ("/authz", {"X-Forwarded-Uri": "/openai/deployments/gpt-4o/chat/completions?v=1"}, None),
    ("/authz", {"X-Original-URI": "/v1beta/models/gpt-4o:generateContent"}, {"contents": []}),
    ("/authz/v1beta/models/gpt%2D4o:streamGenerateContent?alt=sse", {}, None),
    ("/authz", {"x-governance-model": "gpt-4o"}, {"model": "o3"}),
]


async def test_the_model_is_found_wherever_a_call_names_it(api: TestApi) -> None:
    key = await make_key(api, provider_configs=ONE_MODEL)
    for path, headers, body in NAMED:
        answer = await api.request("POST", path, headers={"x-bf-vk": key["value"], **headers}, json=body)
        assert answer.status == 200, (path, headers, body)


async def test_a_model_that_is_not_allowed_is_refused_wherever_it_is_named(api: TestApi) -> None:
    key = await make_key(api, provider_configs=ONE_MODEL)
    sent = {"x-bf-vk": key["value"]}
    assert (await api.post("/authz", headers=sent, json={"model": "o3"})).status == 403
    assert (await api.get("/authz/v1beta/models/o3:generateContent", headers=sent)).status == 403
    # Providers whose URI names the model do not look for it in the body.
    hidden = {"model": "gpt-4o", "contents": []}
    assert (await api.post("/authz/v1beta/models/o3:generateContent", headers=sent, json=hidden)).status == 403
    # What the gateway says of the URI, and what its client says, are told apart by nothing: neither is believed.
    both = {"X-Original-URI": "/v1beta/models/o3:generateContent", "X-Forwarded-Uri": "/models/gpt-4o:x"}
    assert (await api.get("/authz", headers=sent | both)).status == 403
    # The path of the request itself cannot be forged.
    forged = {"X-Forwarded-Uri": "/models/gpt-4o:x"}
    assert (await api.get("/authz/v1beta/models/o3:generateContent", headers=sent | forged)).status == 403


async def test_the_estimate_of_a_forwarded_body_is_held(api: TestApi) -> None:
    key = await make_key(api, rate_limit={"token_max_limit": 1000, "token_reset_duration": "1h"})
    body = {"model": "gpt-4o", "max_tokens": 100, "n": 2, "messages": [{"role": "user", "content": "x" * 400}]}
    answer = await api.post("/authz", headers={"x-bf-vk": key["value"]}, json=body)
    assert answer.headers["x-ratelimit-remaining-tokens"] == "700"


async def test_a_body_that_says_nothing_is_no_failure(api: TestApi) -> None:
    key = await make_key(api)
    for body in (b"hello", b'{"model":', b"[1]", b"\xff\xfe", b"", b"null", b'{"model": 5, "n": "x"}', b"[" * 100_000):
        assert (await api.post("/authz", headers={"x-bf-vk": key["value"]}, data=body)).status == 200, body


async def test_a_body_beyond_the_bound_is_refused(api: TestApi) -> None:
    key = await make_key(api)
    assert (await api.post("/authz", headers={"x-bf-vk": key["value"]}, data=BytesIO(b"x" * 2_000_000))).status == 413


UNMEANT = {
    "x-governance-estimated-cost": "much",
    "x-governance-ttl": "-1",
    "x-governance-estimated-input-tokens": "1e99",
    "x-governance-request-id": "x" * 241,
    "x-bf-vk": "another",
}


async def test_a_header_that_cannot_be_meant_is_named(api: TestApi) -> None:
    key = await make_key(api)
    for name, value in UNMEANT.items():
        answer = await api.get("/authz", headers=[("x-bf-vk", key["value"]), (name, value)])
        assert answer.status == 400, name
        assert name in (await answer.json())["error"]["message"]


async def test_bytes_that_are_no_text_are_refused_wherever_they_are(api: TestApi) -> None:
    for name in (b"x-bf-vk", b"x-governance-request-id", b"x-governance-model", b"x-governance-provider"):
        answer = await send_raw(api, b"GET /authz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s: \x84\r\n\r\n" % name)
        assert answer.status == 400, name
    uri = b"X-Original-URI: /models/\x84:x\r\n\r\n"
    assert (await send_raw(api, b"GET /authz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + uri)).status == 400


async def test_required_headers_are_those_of_the_request(
    settings: Settings, clock: Clock, aiohttp_client: Callable[..., Awaitable[TestApi]]
) -> None:
    asking = msgspec.structs.replace(settings, required_headers='{"x-team": "*"}')
    api = await aiohttp_client(build_app(asking, clock=clock))
    key = await make_key(api)
    assert (await api.get("/authz", headers={"x-bf-vk": key["value"]})).status == 400
    assert (await api.get("/authz", headers={"x-bf-vk": key["value"], "X-Team": "search"})).status == 200


async def test_a_call_lasts_as_long_as_the_gateway_says(api: TestApi, clock: Clock) -> None:
    key = await make_key(api, budgets=BUDGET)
    asked = {"x-bf-vk": key["value"], "x-governance-estimated-cost": "1", "x-governance-ttl": "30"}
    assert (await api.get("/authz", headers=asked)).status == 200
    assert (await api.get("/authz", headers=asked)).status == 402
    clock.forward(seconds=31)
    status, answer = await send(api, "POST", AUTHORIZE, {"virtual_key": key["value"]})
    assert (status, answer["limits"][0]["limit"]["held"]) == (200, 0)


@pytest.mark.parametrize(("networks", "status"), [("127.0.0.0/8,::1", 200), ("10.0.0.0/8", 401), ("", 401)])
async def test_a_gateway_in_a_trusted_network_needs_no_token_and_no_header_says_where_it_is(
    settings: Settings, clock: Clock, aiohttp_client: Callable[..., Awaitable[TestApi]], networks: str, status: int
) -> None:
    key = await make_key(await aiohttp_client(build_app(settings, clock=clock)))
    asking = msgspec.structs.replace(settings, auth="on", admin_token="a" * 32, trusted_networks=networks)
    api = await aiohttp_client(build_app(asking, clock=clock))
    sent = {"x-bf-vk": key["value"], "X-Forwarded-For": "10.0.0.1"}
    assert (await api.get("/authz", headers=sent)).status == status
    # A token that is wrong is wrong anywhere.
    assert (await api.get("/authz", headers={**sent, "x-governance-token": "gov_wrong"})).status == 401
    assert (await api.get("/authz", headers={**sent, "x-governance-token": "a" * 32})).status == 200


async def test_the_token_of_the_gateway_is_in_no_answer(api: TestApi) -> None:
    answer = await api.get("/authz", headers={"x-governance-token": "gov_secret", "x-governance-ttl": "x"})
    assert "gov_secret" not in await answer.text() + str(answer.headers)


async def test_what_redis_cannot_say_is_marked(
    settings: Settings, clock: Clock, aiohttp_client: Callable[..., Awaitable[TestApi]], redis: Redis
) -> None:
    away = msgspec.structs.replace(
        settings, redis_url="redis://127.0.0.1:1/0", on_counters_unavailable="deny", redis_timeout_ms=100
    )
    key = await make_key(await aiohttp_client(build_app(settings, clock=clock)), budgets=BUDGET)
    api = await aiohttp_client(build_app(away, clock=clock))
    answer = await api.get("/authz?deny_status=403", headers={"x-bf-vk": key["value"]})
    assert (answer.status, answer.headers["x-governance-status"]) == (403, "503")
    assert (answer.headers["x-governance-degraded"], answer.headers["Retry-After"]) == ("deny", "1")
