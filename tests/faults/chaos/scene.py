"""What there is to break: stores, a proxy before Redis that can lose replies, workers, and a tree of limits."""

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from tests.faults.gateway import Gateway, gateway_to
from tests.faults.proxy import LosingProxy, losing_proxy
from tests.faults.stores import Stores
from tests.faults.workers import Worker, running_workers, until_ready

MODELS = ("gpt-4o", "claude", "mistral")
PROVIDERS = ("openai", "anthropic")
_CUSTOMERS, _TEAMS, _KEYS = 3, 2, 2
# For a machine with more workers than cores.
_SETTINGS = {"GOVERNANCE_REDIS_TIMEOUT_MS": "400"}
_LIMITS = ("budgets", "rate_limits")


class Key(msgspec.Struct, frozen=True):
    id: str
    value: str


class Tree(msgspec.Struct, frozen=True):
    """By id."""

    customers: list[str]
    teams: list[str]
    keys: list[Key]


class Scene(msgspec.Struct, frozen=True):
    stores: Stores
    proxy: LosingProxy
    workers: Sequence[Worker]
    gateway: Gateway
    tree: Tree


@asynccontextmanager
async def set_scene(folder: Path, *, workers: int, draw: random.Random, seconds: float) -> AsyncIterator[Scene]:
    """Everything runs when the block begins; windows of limits end all through the next `seconds`."""
    stores = Stores(folder / "state")
    try:
        await stores.prepare()
        async with losing_proxy(stores.valkey.url) as (proxy, redis_url):
            settings = msgspec.structs.replace(stores.settings, redis_url=redis_url, replicas=workers)
            with running_workers(folder, settings, workers, **_SETTINGS) as running:
                await until_ready(running)
                async with gateway_to([worker.port for worker in running]) as gateway:
                    tree = await _make_tree(gateway, draw)
                    await _let_windows_end(stores, draw, seconds)
                    yield Scene(stores, proxy, running, gateway, tree)
    finally:
        await stores.stop()


async def _make_tree(gateway: Gateway, draw: random.Random) -> Tree:
    tree = Tree([], [], [])
    for model in MODELS[:2]:
        await gateway.make("model-configs", model_name=model, **limits(draw, 400))
    await gateway.send("PUT", f"providers/{PROVIDERS[0]}", limits(draw, 400))
    for c in range(_CUSTOMERS):
        customer = (await gateway.make("customers", name=f"c{c}", **limits(draw, 200)))["customer"]["id"]
        tree.customers.append(customer)
        for t in range(_TEAMS):
            team = (await gateway.make("teams", name=f"c{c} t{t}", customer_id=customer, **limits(draw, 100)))["team"]
            tree.teams.append(team["id"])
            for k in range(_KEYS):
                tree.keys.append(await _make_key(gateway, draw, f"c{c} t{t} k{k}", team_id=team["id"]))
        tree.keys.append(await _make_key(gateway, draw, f"c{c} k", customer_id=customer))
    tree.keys.append(await _make_key(gateway, draw, "of nobody"))
    return tree


async def _make_key(gateway: Gateway, draw: random.Random, name: str, **owner: Any) -> Key:
    configs = [
        {"provider": provider, "allowed_models": ["*"], "key_ids": ["*"], "weight": 1, **limits(draw, 50)}
        for provider in PROVIDERS
    ]
    key = (
        await gateway.make(
            "virtual-keys",
            name=name,
            provider_configs=configs,
            max_parallel_requests=draw.choice([4, 50, 50]),
            **limits(draw, 50),
            **owner,
        )
    )["virtual_key"]
    await gateway.make(
        "model-configs", model_name=MODELS[0], scope="virtual_key", scope_id=key["id"], **limits(draw, 40)
    )
    return Key(key["id"], key["value"])


def limits(draw: random.Random, usd: float) -> dict[str, Any]:
    """Budgets of an hour and a month, and a rate limit; all in the ledger, some of them tight."""
    return {
        "budgets": [
            {"max_limit": usd * draw.uniform(0.05, 1), "reset_duration": "1h"},
            {"max_limit": usd * draw.uniform(1, 50), "reset_duration": "1M"},
        ],
        "rate_limit": {
            "token_max_limit": int(usd * draw.uniform(1000, 20_000)),
            "token_reset_duration": "1h",
            "request_max_limit": int(usd * draw.uniform(10, 200)),
            "request_reset_duration": "2h",
        },
    }


async def _let_windows_end(stores: Stores, draw: random.Random, seconds: float) -> None:
    """An hour is too long to wait for: each limit begins its windows at another moment of the run."""
    async with stores.connection() as connection:
        for table in _LIMITS:
            for row in await connection.fetch(f"SELECT id FROM {table} ORDER BY id"):
                await connection.execute(
                    f"UPDATE {table} SET anchored_at = now() - '20 hours'::interval + $2 * '1 second'::interval "
                    "WHERE id = $1",
                    row["id"],
                    draw.uniform(0, seconds),
                )
