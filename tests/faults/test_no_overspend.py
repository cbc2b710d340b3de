"""No overspend: of many calls at once, on several workers, as many are admitted as fit, and each that fits."""

import asyncio
import os
import random
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from redis.asyncio import Redis

from service.settings import load_settings
from service.store.postgres import connect
from tests.conftest import ENCRYPTION_KEY
from tests.faults.gateway import Gateway, gateway_to
from tests.faults.limits_at import NANOUSD, USED_NANOUSD, Binding, Tree, every_binding, make_tree
from tests.faults.workers import Worker, running_workers, until_ready
from tests.servers import Servers, clone_template, drop_database

# As many as a large deployment has on one machine.
WORKERS = int(os.environ.get("TEST_WORKERS", "8"))
FITS = 24


class Deployment(msgspec.Struct, frozen=True):
    """Workers on a database of their own."""

    database_url: str
    workers: list[Worker]


@pytest.fixture(scope="module")
def deployment(servers: Servers) -> Iterator[Deployment]:
    database_url = asyncio.run(clone_template(servers))
    settings = load_settings(
        {},
        database_url=database_url,
        redis_url=servers.redis_url,
        encryption_key=ENCRYPTION_KEY,
        auth="off",
        redis_timeout_ms=5000,
    )
    with (
        tempfile.TemporaryDirectory(prefix="governance-") as folder,
        running_workers(Path(folder), settings, WORKERS) as workers,
    ):
        yield Deployment(database_url, workers)
    asyncio.run(drop_database(servers.postgres_url, urlsplit(database_url).path.removeprefix("/")))


@pytest.fixture
async def gateway(deployment: Deployment, redis: Redis) -> AsyncIterator[Gateway]:
    await until_ready(deployment.workers)
    async with gateway_to([worker.port for worker in deployment.workers]) as gateway:
        yield gateway


class Asked(msgspec.Struct, frozen=True):
    """Calls of one tree: those that were admitted, and what the others were told."""

    admitted: list[str]
    refused: list[Any]


async def ask_at_once(gateway: Gateway, trees: Sequence[Tree], numbers: dict[str, int], turn: str) -> dict[str, Asked]:
    """So many calls of each tree, all of them at once and mixed; by the tree's binding."""
    asked = [(tree, f"{tree.binding.name} {turn} {n}") for tree in trees for n in range(numbers[tree.binding.name])]
    random.Random(turn).shuffle(asked)
    verdicts = await asyncio.gather(*(gateway.authorize(**tree.call(request_id)) for tree, request_id in asked))
    answers = {tree.binding.name: Asked([], []) for tree in trees}
    for (tree, request_id), verdict in zip(asked, verdicts, strict=True):
        assert "degraded" not in verdict
        of_tree = answers[tree.binding.name]
        if verdict["allowed"]:
            of_tree.admitted.append(request_id)
        else:
            of_tree.refused.append(verdict)
    return answers


def assert_told_why(binding: Binding, verdict: Any) -> None:
    assert verdict["decision"] == binding.decision
    (violation,) = verdict["violations"]
    assert (violation["level"], violation["limit"]["kind"]) == (binding.level, binding.kind)


async def test_at_every_level_exactly_as_many_calls_are_admitted_as_fit(
    gateway: Gateway, redis: Redis, deployment: Deployment
) -> None:
    bindings = {binding.name: binding for binding in every_binding(fits=FITS)}
    trees = [await make_tree(gateway, binding) for binding in bindings.values()]

    # The first use of every limit, by all workers at once.
    first = await ask_at_once(gateway, trees, dict.fromkeys(bindings, 2 * FITS), "first")
    assert {name: len(asked.admitted) for name, asked in first.items()} == dict.fromkeys(bindings, FITS)
    for name, asked in first.items():
        for verdict in asked.refused:
            assert_told_why(bindings[name], verdict)

    # Used is less than was estimated: the rest comes back. Redis loses everything; nothing used is forgotten.
    events = [tree.report(request_id) for tree in trees for request_id in first[tree.binding.name].admitted]
    random.Random(0).shuffle(events)
    pieces = [events[at : at + 100] for at in range(0, len(events), 100)]
    statuses = await asyncio.gather(*(gateway.report(*piece) for piece in pieces))
    assert Counter(status for piece in statuses for status in piece) == {"recorded": len(events)}
    await redis.flushdb()
    room = {name: binding.fits_after_use for name, binding in bindings.items()}
    second = await ask_at_once(gateway, trees, room, "second")
    assert {name: len(asked.admitted) for name, asked in second.items()} == room
    third = await ask_at_once(gateway, trees, dict.fromkeys(bindings, 2), "third")
    assert {name: len(asked.admitted) for name, asked in third.items()} == dict.fromkeys(bindings, 0)
    for name, asked in third.items():
        for verdict in asked.refused:
            assert_told_why(bindings[name], verdict)

    connection = await connect(deployment.database_url)
    totals = await connection.fetch("SELECT DISTINCT used FROM meter_windows WHERE meter_id LIKE 'budget:%'")
    await connection.close()
    # Of every budget at every level, those of parallel calls and rate limits included.
    assert [total["used"] for total in totals] == [FITS * USED_NANOUSD]


async def test_calls_of_any_size_fill_shared_limits_to_the_last_one_that_fits(gateway: Gateway) -> None:
    """Four teams, twelve keys, each with limits that bind some of the time."""
    draw = random.Random(4)

    def budget(usd: float) -> dict[str, Any]:
        return {"budgets": [{"max_limit": usd, "reset_duration": "1M"}]}

    customer = (await gateway.make("customers", name="shared", **budget(100)))["customer"]
    values = []
    for number in range(4):
        team = await gateway.make(
            "teams", name=f"t{number}", customer_id=customer["id"], **budget(draw.uniform(15, 40))
        )
        for letter in "abc":
            key = await gateway.make(
                "virtual-keys",
                name=f"k{number}{letter}",
                team_id=team["team"]["id"],
                allow_all_providers=True,
                **budget(draw.uniform(5, 15)),
            )
            values.append(key["virtual_key"]["value"])
    calls = [
        {"virtual_key": draw.choice(values), "estimated_cost": draw.randrange(1, 400_000_000) / NANOUSD}
        for _ in range(1200)
    ]
    verdicts = await asyncio.gather(*(gateway.authorize(**call) for call in calls))

    limits: dict[str, int] = {}
    taken: Counter[str] = Counter()
    for call, verdict in zip(calls, verdicts, strict=True):
        for standing in verdict["limits"]:
            limits[standing["limit"]["id"]] = to_nanousd(standing["limit"]["max"])
            if verdict["allowed"]:
                taken[standing["limit"]["id"]] += to_nanousd(call["estimated_cost"])
    assert len(limits) == 1 + 4 + 12
    assert all(taken[limit_id] <= most for limit_id, most in limits.items())
    refused = [pair for pair in zip(calls, verdicts, strict=True) if not pair[1]["allowed"]]
    assert len(refused) > 100
    for call, verdict in refused:
        # Room only shrinks here: what did not fit when it was asked for does not fit into what is left at the end.
        for violation in verdict["violations"]:
            limit_id = violation["limit"]["id"]
            assert taken[limit_id] + to_nanousd(call["estimated_cost"]) > limits[limit_id]


async def test_budgets_beyond_what_a_double_holds_are_filled_to_the_last_nano_dollar(gateway: Gateway) -> None:
    key = await gateway.make(
        "virtual-keys",
        name="large",
        allow_all_providers=True,
        budgets=[{"max_limit": 20_000_000, "reset_duration": "1Y"}],
    )
    value = key["virtual_key"]["value"]

    async def ask(*costs_usd: float) -> list[bool]:
        asked = (gateway.authorize(virtual_key=value, estimated_cost=cost) for cost in costs_usd)
        return [verdict["allowed"] for verdict in await asyncio.gather(*asked)]

    # Each by itself leaves one nano-dollar of its million.
    assert await ask(*[999_999.999_999_999] * 12) == [True] * 12
    used = {"virtual_key": value, "cost": 999_999.999_999_999}
    assert await gateway.report(*({"request_id": f"used {n}", **used} for n in range(8))) == ["recorded"] * 8
    # 20 nano-dollars are left, in a sum of 20 000 000 000 000 000.
    assert sum(await ask(*[1e-9] * 30)) == 20
    assert await ask(1e-9) == [False]


async def test_parallel_calls_come_back_one_by_one(gateway: Gateway) -> None:
    key = await gateway.make("virtual-keys", name="few", allow_all_providers=True, max_parallel_requests=7)
    value = key["virtual_key"]["value"]
    under_way: list[str] = []
    for ended in (0, 3, 7, 1):
        for request_id in [under_way.pop() for _ in range(ended)]:
            if request_id.startswith("reported"):
                assert await gateway.report({"request_id": request_id, "virtual_key": value}) == ["recorded"]
            else:
                assert (await gateway.make("release", request_id=request_id))["released"]
        ids = [f"{'reported' if n % 2 else 'released'} {ended} {n}" for n in range(20)]
        verdicts = await asyncio.gather(*(gateway.authorize(request_id=each, virtual_key=value) for each in ids))
        admitted = [each for each, verdict in zip(ids, verdicts, strict=True) if verdict["allowed"]]
        under_way += admitted
        assert len(under_way) == 7


def to_nanousd(usd: float) -> int:
    return round(usd * NANOUSD)
