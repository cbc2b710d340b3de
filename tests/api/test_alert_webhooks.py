"""Webhooks over real connections: signed, to public addresses only, in bounded time, following nothing."""

import asyncio
import hashlib
import hmac
import logging
import re
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from service.app import build_app
from service.governance.alerts import DeliveryError
from service.http.webhooks import WebhookSender
from service.settings import Settings
from service.store.postgres import Connection
from tests.conftest import Clock, TestApi
from tests.factories import Factory
from tests.store.fired import fired, spend
from tests.unit.readme_settings import README
from tests.waiting import until

SECRET = "a secret of some length"
PRIVATE = "is at an address webhooks are not sent to"


class Receiver:
    """A webhook on this machine: keeps what it gets, and answers what it is told to."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.statuses: list[int] = []
        self.headers: dict[str, str] = {}
        self.hangs = False
        self.port = 0
        self._released = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((dict(request.headers), await request.read()))
        if self.hangs:
            await self._released.wait()
        status = self.statuses.pop(0) if self.statuses else 200
        return web.Response(status=status, headers=self.headers, body=b"x" * 100_000)

    def release(self) -> None:
        self._released.set()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.handle)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.port = runner.addresses[0][1]
    yield receiver
    receiver.release()
    await runner.cleanup()


class Names(AbstractResolver):
    """A name server that says what it is told, and another thing each time when there are several."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        del family
        addresses = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        pass


@asynccontextmanager
async def sending(**options: Any) -> AsyncIterator[WebhookSender]:
    sender = WebhookSender(**({"allow_private": False} | options))
    yield sender
    await sender.close()


async def fault(sender: WebhookSender, url: str) -> str:
    with pytest.raises(DeliveryError) as caught:
        await sender(url, b"{}", headers={})
    return str(caught.value)


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "[::1]", "localhost", "169.254.169.254", "10.1.2.3", "192.168.1.1", "[::ffff:127.0.0.1]"),
        *("[::ffff:a00:1]", "[fd00:ec2::254]", "0.0.0.0"),
    ],
)
async def test_a_private_address_is_not_sent_to(receiver: Receiver, host: str) -> None:
    async with sending() as sender:
        assert await fault(sender, f"http://{host}:{receiver.port}/") == PRIVATE
    assert receiver.requests == []


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "0x7f000001", "0177.0.0.1", "127.1", "127.0.0.1."])
async def test_no_other_spelling_of_it_is_sent_to_either(receiver: Receiver, host: str) -> None:
    async with sending() as sender:
        assert await fault(sender, f"http://{host}:{receiver.port}/")
    assert receiver.requests == []


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["10.0.0.1", "192.168.0.1"], ["::1"], ["::ffff:127.0.0.1"]])
async def test_a_name_that_leads_to_a_private_address_is_not_sent_to(receiver: Receiver, addresses: list[str]) -> None:
    async with sending(resolver=Names(addresses)) as sender:
        assert await fault(sender, f"http://hooks.example.com:{receiver.port}/") == PRIVATE
    assert receiver.requests == []


async def test_the_address_that_is_checked_is_the_one_that_is_connected_to(receiver: Receiver) -> None:
    """A name that is public when it is looked up first and private the next time is no way in."""
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    async with sending(resolver=names) as sender:
        for _ in range(2):
            assert await fault(sender, f"http://hooks.example.com:{receiver.port}/") == PRIVATE
    assert names.asked == 2
    assert receiver.requests == []


async def test_private_addresses_are_sent_to_when_that_is_allowed_but_metadata_never(receiver: Receiver) -> None:
    async with sending(allow_private=True) as sender:
        await sender(f"http://127.0.0.1:{receiver.port}/hook?a=b", b"{}", headers={})
        assert await fault(sender, "http://169.254.169.254/latest/meta-data") == PRIVATE
    assert len(receiver.requests) == 1


async def test_a_redirect_is_a_fault_and_not_followed(receiver: Receiver) -> None:
    receiver.statuses = [307]
    receiver.headers = {"Location": f"http://127.0.0.1:{receiver.port}/elsewhere"}
    async with sending(allow_private=True) as sender:
        reason = await fault(sender, f"http://127.0.0.1:{receiver.port}/")
    assert reason == "answered 307: redirects are not followed"
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("status", [400, 404, 410, 429, 500, 503])
async def test_what_is_no_success_is_a_fault(receiver: Receiver, status: int) -> None:
    receiver.statuses = [status]
    async with sending(allow_private=True) as sender:
        assert await fault(sender, f"http://127.0.0.1:{receiver.port}/") == f"answered {status}"


async def test_a_webhook_that_does_not_answer_is_left_in_time(receiver: Receiver) -> None:
    receiver.hangs = True
    async with sending(allow_private=True, timeout_seconds=0.05) as sender:
        assert await fault(sender, f"http://127.0.0.1:{receiver.port}/") == "did not answer in time"


async def test_faults_do_not_tell_the_url() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    async with sending(allow_private=True) as sender:
        assert await fault(sender, f"http://user:password@127.0.0.1:{port}/token") == "could not be connected to"
        assert await fault(sender, f"https://user:password@no-such-host.invalid:{port}/token") == "has no address"
        assert await fault(sender, "http://user:password@[/token") == "did not answer as HTTP has it"


async def test_tls_without_a_trusted_certificate_is_a_fault(receiver: Receiver) -> None:
    async with sending(allow_private=True) as sender:
        assert await fault(sender, f"https://127.0.0.1:{receiver.port}/") == "has no certificate that can be trusted"


def verify(header: str, body: bytes, secret: str) -> bool:
    """With the very lines the README gives receivers."""
    code = re.search(r"```python\n(def is_genuine.*?)```", README.read_text(), re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {"hmac": hmac, "hashlib": hashlib, "time": time}
    exec(code[1], names)
    genuine: bool = names["is_genuine"](header, body, secret)
    return genuine


@pytest.fixture
def webhook_settings(settings: Settings, receiver: Receiver) -> Settings:
    return msgspec.structs.replace(
        settings,
        alert_webhook_url=f"http://user:password@127.0.0.1:{receiver.port}/hook",
        alert_webhook_secret=SECRET,
        alert_webhook_allow_private="on",
    )


async def test_an_alert_reaches_a_webhook_signed_though_it_fails_at_first(  # noqa: PLR0917  # each is a fixture
    webhook_settings: Settings,
    receiver: Receiver,
    connection: Connection,
    make: Factory,
    clock: Clock,
    aiohttp_client: Callable[..., Awaitable[TestApi]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    receiver.statuses = [500]
    budget = await make.budget(customer_id=await make.customer(), max_limit_nanousd=100, alert_thresholds=[80])
    await spend(connection, budget, 80, at=datetime.now(UTC))
    clock.forward(minutes=1)
    api = await aiohttp_client(build_app(webhook_settings, clock=clock))

    async def has_failed() -> bool:
        return bool((await fired(connection))[0].last_error)

    await until(has_failed)
    listed = (await (await api.get("/api/governance/alerts")).json())["alerts"]
    assert (listed[0]["state"], listed[0]["last_error"]) == ("pending", "webhook 1 answered 500")
    clock.forward(seconds=10)

    async def is_delivered() -> bool:
        return (await fired(connection))[0].state == "delivered"

    await until(is_delivered)
    assert len(receiver.requests) == 2
    headers, body = receiver.requests[1]
    assert verify(headers["X-Governance-Signature"], body, SECRET)
    assert not verify(headers["X-Governance-Signature"], body + b" ", SECRET)
    assert not verify(headers["X-Governance-Signature"], body, "another secret here")
    assert (headers["Content-Type"], headers["Authorization"][:6]) == ("application/json", "Basic ")
    assert msgspec.json.decode(body)["alert"]["threshold_percent"] == 80
    assert not {"state", "attempts"} & msgspec.json.decode(body)["alert"].keys()
    assert SECRET not in caplog.text
    assert "password" not in caplog.text
