"""The Lua scripts: each says what it takes and answers, and is there whenever it is called."""

import re
from collections import Counter
from pathlib import Path

import pytest
from redis.asyncio import Redis

import service.counters
from service.counters import calls
from service.counters.client import CounterClient, load_script
from service.counters.meters import UNKNOWN_VERSION, merge_windows, read_tenants
from tests.counters.windows import tenant, window

SCRIPTS = sorted((Path(service.counters.__file__).parent / "scripts").glob("*.lua"))
PARTS = sorted((Path(service.counters.__file__).parent / "scripts" / "parts").glob("*.lua"))


def header_of(path: Path) -> str:
    """The comment before the first line of code."""
    lines = path.read_text(encoding="utf-8").splitlines()
    first_code = next(number for number, line in enumerate(lines) if not line.startswith("--"))
    return "\n".join(lines[:first_code])


def test_there_are_scripts() -> None:
    assert {path.stem for path in SCRIPTS} >= {"merge_meters", "read_tenants"}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_begins_with_what_it_does_takes_and_answers(path: Path) -> None:
    header = header_of(path)
    for part in (r"\A-- [A-Z].+\.$", r"^-- KEYS(\[1\])?\s+\S", r"^-- ARGV\[1\]\s+msgpack", r"^-- Answers\s+msgpack"):
        assert re.search(part, header, re.MULTILINE), part


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
async def test_a_script_compiles_and_is_named_as_redis_names_it(path: Path, redis: Redis) -> None:
    script = load_script(path.stem)
    assert await redis.script_load(script.text) == script.sha1


def test_what_scripts_share_is_there_and_is_shared() -> None:
    assert calls._PARTS.keys() <= {path.stem for path in SCRIPTS}
    used = Counter(part for parts in calls._PARTS.values() for part in parts)
    assert used.keys() == {path.stem for path in PARTS}
    assert min(used.values()) >= 2
    for path in PARTS:
        assert re.match(r"-- Part of scripts that .+\.$", header_of(path), re.MULTILINE), path.name


async def test_scripts_come_back_after_the_server_lost_them(counters: CounterClient, redis: Redis) -> None:
    for used in range(1, 4):
        await redis.script_flush()
        assert await merge_windows(counters, [window(used=used)]) == 1
        await redis.script_flush()
        read = await read_tenants(counters, {tenant(): UNKNOWN_VERSION})
        state = read[tenant()].state_of("budget:b")
        assert state is not None
        assert state.used == used


async def test_of_several_calls_none_is_lost_when_the_server_has_no_scripts(
    counters: CounterClient, redis: Redis
) -> None:
    await redis.script_flush()
    windows = [window(name=f"t{number}", used=number) for number in range(1, 30)]
    assert await merge_windows(counters, windows) == 29
    assert len(await redis.keys("gov:*")) == 29
