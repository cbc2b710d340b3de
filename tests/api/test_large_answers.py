"""Whole trees are sent so many at a time: the others wait for their turn, up to a number and for a while."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from service.http import large_answers
from service.http.errors import ApiError
from service.http.large_answers import LARGE_ANSWERS, LargeAnswers
from service.store.postgres import Connection
from tests.conftest import TestApi
from tests.reading import CUSTOMERS, read_page


async def _turn_ends(answers: LargeAnswers, told: list[str], name: str) -> None:
    async with answers.turn():
        told.append(name)


async def test_those_that_wait_have_their_turn_in_order_and_more_are_refused() -> None:
    answers, told = LargeAnswers(1), list[str]()
    async with AsyncExitStack() as sending:
        await sending.enter_async_context(answers.turn())
        waiting = [asyncio.create_task(_turn_ends(answers, told, name)) for name in "abcd"]
        await asyncio.sleep(0)
        with pytest.raises(ApiError, match="Too many large answers") as refused:
            await _turn_ends(answers, told, "one too many")
        assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "1"})
        assert told == []
    await asyncio.gather(*waiting)
    assert told == ["a", "b", "c", "d"]


async def test_a_turn_ends_however_sending_does() -> None:
    answers = LargeAnswers(1)
    for _ in range(3):
        with pytest.raises(ConnectionResetError):
            async with answers.turn():
                raise ConnectionResetError
    assert not answers._turns.locked()


async def test_whoever_goes_away_while_waiting_leaves_room_to_wait() -> None:
    answers = LargeAnswers(1)
    async with answers.turn():
        for _ in range(10):
            waiting = asyncio.create_task(_turn_ends(answers, [], "gone"))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        assert answers._waiting == 0


async def test_a_large_tree_is_a_503_when_no_turn_comes_and_a_small_one_is_answered(
    api: TestApi, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await connection.execute(
        "INSERT INTO customers (id, name) SELECT 'c' || n, repeat('n', 200) || n FROM generate_series(1, 1000) AS n"
    )
    monkeypatch.setattr(large_answers, "_PATIENCE_SECONDS", 0.01)
    assert api.app is not None
    async with AsyncExitStack() as held:
        while not api.app[LARGE_ANSWERS]._turns.locked():
            await held.enter_async_context(api.app[LARGE_ANSWERS].turn())
        response = await api.get(CUSTOMERS)
        assert response.status == 503
        assert response.headers["Retry-After"] == "1"
        assert (await response.json())["error"] == {"message": "Too many large answers are being read"}
        assert (await read_page(api, limit="2"))["count"] == 2
    assert (await read_page(api))["count"] == 1000
