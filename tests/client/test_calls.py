"""The client: a call is asked for once, settled once, and never lost or repeated by sending again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest
from aiohttp.test_utils import TestServer

from service.client import Estimate, Governance, GovernanceError, Options, RefusedCallError, UnavailableError
from tests.client.scripted import BUSY, REFUSED, Scripted
from tests.waiting import until

KEY = "sk-bf-of-a-test"


class Pauses:
    """Instead of sleeping."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await asyncio.sleep(0)


@pytest.fixture
def scripted() -> Scripted:
    return Scripted()


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@pytest.fixture
async def url(scripted: Scripted, aiohttp_server: Callable[..., Awaitable[TestServer]]) -> str:
    return str((await aiohttp_server(scripted.app())).make_url("/"))


@pytest.fixture
async def governance(url: str, pauses: Pauses) -> AsyncIterator[Governance]:
    async with Governance(url, token="gov_of_a_test", attempts=3, sleep=pauses) as governance:
        yield governance


async def test_a_call_is_asked_for_and_its_usage_reported_under_one_id(
    governance: Governance, scripted: Scripted
) -> None:
    estimate = Estimate(input_tokens=800, max_output_tokens=400)
    async with governance.call(KEY, model="gpt-4o", provider="openai", estimate=estimate) as call:
        assert call.provider == "openai"
        call.usage(input_tokens=1)
        call.usage(input_tokens=812, output_tokens=233)
    assert call.report is not None
    assert (call.report.status, call.report.cost) == ("recorded", 0.25)
    of_call = {"request_id": call.request_id, "virtual_key": KEY, "model": "gpt-4o", "provider": "openai"}
    assert scripted.asked == [
        ("authorize", {**of_call, "estimated_input_tokens": 800, "max_output_tokens": 400}),
        ("usage", {**of_call, "input_tokens": 812, "output_tokens": 233, "status": "success"}),
    ]
    assert scripted.tokens == {"Bearer gov_of_a_test"}


async def test_a_refused_call_is_not_entered_and_the_decision_is_told(
    governance: Governance, scripted: Scripted
) -> None:
    scripted.answers["authorize"] = [REFUSED]
    with pytest.raises(RefusedCallError, match="no room") as refused:
        async with governance.call(KEY):
            pytest.fail("it was entered")
    decision = refused.value.decision
    assert (decision.decision, decision.status_code, decision.retry_after_seconds) == ("budget_exceeded", 402, 60)
    assert scripted.paths() == ["authorize"]


async def test_a_call_that_says_nothing_is_reported_as_a_success_which_books_what_it_held(
    governance: Governance, scripted: Scripted
) -> None:
    async with governance.call(KEY) as call:
        pass
    assert scripted.asked[-1] == ("usage", {"request_id": call.request_id, "virtual_key": KEY, "status": "success"})


@pytest.mark.parametrize(
    ("options", "error", "path", "status"),
    [
        (Options(), ValueError(), "release", None),
        (Options(on_error="report"), ValueError(), "usage", "error"),
        (Options(on_error="book"), ValueError(), "usage", "success"),
        (Options(), asyncio.CancelledError(), "usage", "success"),
        (Options(on_cancel="report"), asyncio.CancelledError(), "usage", "cancelled"),
        (Options(on_cancel="release"), asyncio.CancelledError(), "release", None),
    ],
)
async def test_a_call_that_fails_ends_as_its_options_say(
    governance: Governance, scripted: Scripted, options: Options, error: BaseException, path: str, status: str | None
) -> None:
    with pytest.raises(type(error)):
        async with governance.call(KEY, options=options):
            raise error
    assert scripted.paths() == ["authorize", path]
    assert scripted.asked[-1][1].get("status") == status


@pytest.mark.parametrize(
    ("error", "status"), [(None, "success"), (ValueError(), "error"), (asyncio.CancelledError(), "cancelled")]
)
async def test_usage_that_was_said_is_reported_however_the_call_ends(
    governance: Governance, scripted: Scripted, error: BaseException | None, status: str
) -> None:
    with suppress(ValueError, asyncio.CancelledError):
        async with governance.call(KEY) as call:
            call.usage(input_tokens=7, metadata={"a": 1})
            if error is not None:
                raise error
    assert scripted.paths() == ["authorize", "usage"]
    told = scripted.asked[-1][1]
    assert (told["input_tokens"], told["metadata"], told["status"]) == (7, {"a": 1}, status)


@pytest.mark.parametrize("failure", [BUSY, 502, 504, 0])
async def test_what_was_not_answered_is_sent_again_with_the_same_id(
    governance: Governance, scripted: Scripted, pauses: Pauses, failure: int
) -> None:
    scripted.answers = {"authorize": [failure, failure], "usage": [failure, failure]}
    async with governance.call(KEY) as call:
        call.usage(cost=0.25)
    assert scripted.paths() == ["authorize"] * 3 + ["usage"] * 3
    assert {body["request_id"] for _, body in scripted.asked} == {call.request_id}
    assert len({str(body) for path, body in scripted.asked if path == "usage"}) == 1
    assert len(pauses.seconds) == 4
    assert all(0 < seconds <= 2 for seconds in pauses.seconds)


async def test_a_service_that_never_answers_is_given_up_and_what_may_hold_is_released(
    governance: Governance, scripted: Scripted
) -> None:
    scripted.answers["authorize"] = [BUSY] * 9
    with pytest.raises(UnavailableError, match="try again"):
        async with governance.call(KEY, request_id="mine"):
            pytest.fail("it was entered")

    async def released() -> bool:
        return scripted.asked[-1] == ("release", {"request_id": "mine"})

    await until(released)
    assert scripted.paths() == ["authorize"] * 3 + ["release"]


async def test_calls_may_be_let_pass_while_nothing_answers_and_are_reported_then(url: str, scripted: Scripted) -> None:
    scripted.answers["authorize"] = [BUSY]
    async with Governance(url, attempts=1, on_unavailable="allow") as governance, governance.call(KEY) as call:
        assert call.decision.degraded == "unavailable"
        call.usage(cost=1)
    assert scripted.paths() == ["authorize", "usage"]


async def test_what_the_service_refuses_is_not_sent_again(governance: Governance, scripted: Scripted) -> None:
    scripted.answers["authorize"] = [409]
    with pytest.raises(GovernanceError, match="try again") as refused:
        async with governance.call(KEY):
            pytest.fail("it was entered")
    assert (refused.value.status, scripted.paths()) == (409, ["authorize"])


async def test_usage_that_could_not_be_reported_is_told_unless_something_worse_is(
    governance: Governance, scripted: Scripted
) -> None:
    scripted.answers["usage"] = [BUSY] * 3
    with pytest.raises(UnavailableError):
        async with governance.call(KEY) as call:
            call.usage(cost=1)
    scripted.answers["release"] = [BUSY] * 3
    with pytest.raises(ValueError, match="worse"):
        async with governance.call(KEY):
            raise ValueError("worse")


async def test_a_task_that_is_cancelled_while_it_reports_is_reported_once_all_the_same(
    governance: Governance, scripted: Scripted
) -> None:
    async def call_llm() -> None:
        async with governance.call(KEY) as call:
            call.usage(cost=1)

    task = asyncio.create_task(call_llm())

    def cancel(path: str) -> None:
        if path == "usage":
            task.cancel()

    scripted.on_ask = cancel
    with pytest.raises(asyncio.CancelledError):
        await task
    await governance.close()
    assert scripted.paths() == ["authorize", "usage"]


async def test_a_report_of_its_own_is_sent_until_it_is_heard_although_whoever_waits_goes_away(
    governance: Governance, scripted: Scripted
) -> None:
    task = asyncio.create_task(governance.report({"request_id": "r", "cost": 1}))
    scripted.answers["usage"] = [503]

    def cancel(_: str) -> None:
        task.cancel()

    scripted.on_ask = cancel
    with pytest.raises(asyncio.CancelledError):
        await task
    await governance.close()
    assert scripted.paths() == ["usage", "usage"]


async def test_a_service_that_hangs_is_waited_for_so_long_and_no_longer(scripted: Scripted) -> None:
    async def hang(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with Governance(f"http://127.0.0.1:{port}", timeout_seconds=0.05, attempts=2) as governance:
        with pytest.raises(UnavailableError, match="TimeoutError"):
            async with governance.call(KEY):
                pytest.fail("it was entered")
    for writer in writers:
        writer.close()
    server.close()
