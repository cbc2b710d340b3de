"""What does not keep to HTTP is refused or cut off, and the next one is served."""

import json

import pytest

from tests.api.raw_http import send_raw
from tests.conftest import TestApi
from tests.reading import CUSTOMERS

REQUESTS = {
    "HTTP/0.9": b"GET /health\r\n\r\n",
    "HTTP/2.0": b"GET /health HTTP/2.0\r\nHost: x\r\nConnection: close\r\n\r\n",
    "HTTP/3.7": b"GET /health HTTP/3.7\r\nHost: x\r\nConnection: close\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64) + b"\r\n\r\n",
    "garbage": b"\x00\x01\x02garbage\r\n\r\n",
    "no version": b"GET / HTTP\r\n\r\n",
    "three spaces": b"GET / / HTTP/1.1\r\nHost: x\r\n\r\n",
    "no target": b"GET  HTTP/1.1\r\nHost: x\r\n\r\n",
    "bytes in the path": b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "bytes in the query": b"GET /api/governance/customers?search=\xff HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "a lone surrogate": b"GET /%ed%a0%80 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "a NUL in the path": b"GET /%00 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "a path of dots": b"GET /api/../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "a target without slash": b"GET health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "asterisk form": b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "authority form": b"CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "two hosts": b"GET /health HTTP/1.1\r\nHost: x\r\nHost: y\r\nConnection: close\r\n\r\n",
    "a header of 20 kB": b"GET /health HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 20_000 + b"\r\n\r\n",
    "10 000 headers": b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"X-Many: 1\r\n" * 10_000 + b"\r\n",
    "a path of 20 kB": b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a NUL in a header": b"GET /health HTTP/1.1\r\nHost: x\r\nX-Nul: a\x00b\r\n\r\n",
    "a header without name": b"GET /health HTTP/1.1\r\nHost: x\r\n: nameless\r\n\r\n",
    "a space in a name": b"GET /health HTTP/1.1\r\nHost: x\r\nBad Name: 1\r\n\r\n",
    "a negative length": b"POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "a length in words": b"POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: two\r\n\r\n",
    "an endless length": b"POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 40 + b"\r\n\r\n",
    "two lengths": b"POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "length and chunks": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
    "an unknown coding": b"POST /health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: rot13\r\n\r\n",
    "an unknown expectation": b"GET /health HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\nConnection: close\r\n\r\n",
    "a method in small letters": b"get /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "an upgrade": b"POST /health HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade, close\r\n\r\n",
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_malformed_http_is_refused_and_the_next_is_served(storeless_api: TestApi, name: str) -> None:
    answer = await send_raw(storeless_api, REQUESTS[name])
    assert answer.status == 0 or 400 <= answer.status < 500 or answer.status in {501, 505}, answer
    if answer.status:
        assert json.loads(answer.rest)["status_code"] == answer.status
        assert "aiohttp" not in answer.head.lower()
    assert (await storeless_api.get("/health")).status == 200


async def test_a_proxys_absolute_target_is_read_as_its_path(storeless_api: TestApi) -> None:
    request = b"GET http://elsewhere.example/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert (await send_raw(storeless_api, request)).status == 200


async def test_http_1_0_is_served(storeless_api: TestApi) -> None:
    answer = await send_raw(storeless_api, b"GET /health HTTP/1.0\r\n\r\n")
    assert answer.status == 200


async def test_requests_one_after_the_other_on_a_connection_are_answered_in_order(storeless_api: TestApi) -> None:
    several = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" + b"GET /nope HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = await send_raw(storeless_api, several)
    assert answer.status == 200
    assert answer.rest.index(b'"status":"ok"') < answer.rest.index(b"No such route: GET /nope")


async def test_a_refused_body_does_not_become_the_next_request(storeless_api: TestApi) -> None:
    smuggled = b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n"
    head = f"POST {CUSTOMERS} HTTP/1.1\r\nHost: x\r\nContent-Length: {2 * 1024 * 1024}\r\n\r\n".encode()
    answer = await send_raw(storeless_api, head + smuggled, half_close=True)
    assert answer.status == 413
    assert b"not ready" not in answer.rest
    assert answer.rest.count(b"HTTP/1.1") == 0
