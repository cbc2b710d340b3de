"""Traefik cannot be run here: its requests are sent as it sends them, and its configuration has what they need."""

import json
from typing import Any

import pytest
import yaml

from service.http.authz import HEADERS_OF_GATEWAYS
from tests.api.raw_http import RawAnswer, send_raw
from tests.conftest import TestApi
from tests.gateways.chat import HELLO
from tests.gateways.conftest import TOKEN
from tests.gateways.programs import DEPLOY

# As documented for forwardAuth in Traefik 3.3.
OPTIONS = {
    *("address", "trustForwardHeader", "authResponseHeaders", "authResponseHeadersRegex", "authRequestHeaders"),
    *("addAuthCookiesToResponse", "forwardBody", "maxBodySize", "headerField", "preserveLocationHeader", "tls"),
}
IDENTITY = {"Request-Id", "Virtual-Key-Id", "Team-Id", "Customer-Id", "Provider"}


@pytest.fixture(scope="module")
def http() -> Any:
    return yaml.safe_load((DEPLOY / "traefik" / "dynamic.yaml").read_text())["http"]


def test_a_request_passes_the_middlewares_in_the_order_that_hides_the_token_from_the_llm(http: Any) -> None:
    names = http["routers"]["llm"]["middlewares"]
    (first, asked, last) = (http["middlewares"][name] for name in names)
    assert first["headers"]["customRequestHeaders"]["X-Governance-Token"] == "gov_replace-me"
    assert set(asked) == {"forwardAuth"}
    assert last["headers"]["customRequestHeaders"] == {"X-Governance-Token": ""}
    assert http["routers"]["llm"]["service"] in http["services"]


def test_what_a_client_may_have_sent_is_set_or_taken_out_before_the_service_is_asked(http: Any) -> None:
    given = http["middlewares"]["as-gateway"]["headers"]["customRequestHeaders"]
    assert {name.lower() for name in given} >= HEADERS_OF_GATEWAYS - {"x-forwarded-uri"}
    assert {name: value for name, value in given.items() if value} == {
        "X-Governance-Token": "gov_replace-me",
        "X-Governance-Provider": "openai",
    }


def test_the_middleware_that_asks_has_documented_options_and_takes_the_identity_from_the_answer(http: Any) -> None:
    options = http["middlewares"]["governance"]["forwardAuth"]
    assert set(options) <= OPTIONS
    assert options["address"].endswith("/authz")
    assert (options["forwardBody"], options["trustForwardHeader"]) == (True, False)
    assert set(options["authResponseHeaders"]) == {f"X-Governance-{name}" for name in IDENTITY}


async def ask_as_traefik(api: TestApi, key: str, body: bytes) -> RawAnswer:
    """A GET with the body of the client's POST; headers as Go writes them."""
    head = (
        "GET /authz HTTP/1.1\r\n"
        f"Host: 127.0.0.1:{api.port}\r\n"
        "User-Agent: OpenAI/Python 2.0\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Accept: application/json\r\n"
        "Accept-Encoding: gzip, deflate\r\n"
        f"Authorization: Bearer {key}\r\n"
        "Content-Type: application/json\r\n"
        "X-Forwarded-For: 203.0.113.7\r\n"
        "X-Forwarded-Host: llm.example.com\r\n"
        "X-Forwarded-Method: POST\r\n"
        "X-Forwarded-Port: 80\r\n"
        "X-Forwarded-Proto: http\r\n"
        "X-Forwarded-Server: traefik\r\n"
        "X-Forwarded-Uri: /v1/chat/completions\r\n"
        "X-Governance-Provider: openai\r\n"
        f"X-Governance-Token: {TOKEN}\r\n"
        "X-Real-Ip: 203.0.113.7\r\n"
        "Connection: close\r\n\r\n"
    )
    return await send_raw(api, head.encode() + body)


async def test_its_requests_are_answered_by_2xx_or_by_what_the_client_should_get(operator: TestApi, key: Any) -> None:
    body = json.dumps(HELLO | {"max_tokens": 600}).encode()
    allowed = await ask_as_traefik(operator, key["value"], body)
    assert (allowed.status, allowed.rest) == (200, b"")
    names = {line.partition(":")[0].lower() for line in allowed.head.splitlines()[1:]}
    assert names >= {f"x-governance-{name.lower()}" for name in IDENTITY}
    # 604 of 1000 tokens are held.
    refused = await ask_as_traefik(operator, key["value"], body)
    assert (refused.status, json.loads(refused.rest)["type"]) == (429, "token_limited")
    assert "retry-after" in refused.head.lower()
    assert (await ask_as_traefik(operator, "sk-bf-nobody", body)).status == 401
