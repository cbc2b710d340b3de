"""Workers tell each other their metrics, and none of them waits for one that is gone or silent."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from service.telemetry.exposition import Block
from service.telemetry.siblings import Siblings


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="governance-") as folder:
        yield Path(folder)


def blocks(number: int) -> list[Block]:
    return [Block(b"# TYPE x gauge\n", b"x %d\n" % number)]


def answers(number: int) -> Callable[[], Awaitable[list[Block]]]:
    async def answer() -> list[Block]:
        return blocks(number)

    return answer


async def test_each_hears_of_all_others(folder: Path) -> None:
    first, second, third = (Siblings(number, 3, folder) for number in (1, 2, 3))
    async with (
        first.answering(answers(1)),
        second.answering(answers(2)),
        third.answering(answers(3)),
    ):
        assert await first.ask() == {2: blocks(2), 3: blocks(3)}
        assert await third.ask() == {1: blocks(1), 2: blocks(2)}


async def test_a_large_answer_arrives_whole(folder: Path) -> None:
    first, second = (Siblings(number, 2, folder) for number in (1, 2))
    large = blocks(1) * 20_000

    async def answer() -> list[Block]:
        return large

    async with second.answering(answer):
        assert await first.ask() == {2: large}


async def test_one_that_is_not_there_is_none(folder: Path) -> None:
    assert await Siblings(1, 2, folder).ask() == {2: None}


async def test_one_that_does_not_speak_is_none_in_time(folder: Path) -> None:
    release = asyncio.Event()

    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        writer.close()

    async with await asyncio.start_unix_server(silent, folder / "2.sock"):
        async with asyncio.timeout(3):
            assert await Siblings(1, 2, folder).ask() == {2: None}
        release.set()


async def test_nonsense_is_none(folder: Path) -> None:
    async def nonsense(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"nonsense")
        writer.close()

    async with await asyncio.start_unix_server(nonsense, folder / "2.sock"):
        assert await Siblings(1, 2, folder).ask() == {2: None}


async def test_a_worker_takes_the_place_of_a_killed_one_of_its_number(folder: Path) -> None:
    first, second = (Siblings(number, 2, folder) for number in (1, 2))
    left = await asyncio.start_unix_server(lambda *_: None, folder / "2.sock")
    left.close()
    assert (folder / "2.sock").exists()
    async with second.answering(answers(2)):
        assert await first.ask() == {2: blocks(2)}


async def test_a_folder_no_socket_fits_in_costs_the_metrics_and_not_the_worker(folder: Path) -> None:
    deep = folder / ("x" * 120)
    deep.mkdir()
    async with Siblings(2, 2, deep).answering(answers(2)):
        assert await Siblings(1, 2, deep).ask() == {2: None}
