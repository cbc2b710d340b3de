"""A small tree, and edits of it that meet each other: the same for the same seed."""

from collections.abc import Callable
from random import Random
from typing import Any

import msgspec

from tests.api.calls import API, make_entity
from tests.conftest import TestApi

DURATIONS = ("1h", "1d", "1w", "1M", "1Q")
# Fewer than there are entities, so that some meet.
NAMES = tuple(f"name {number}" for number in range(6))
Body = dict[str, Any]


class Edit(msgspec.Struct, frozen=True):
    """A request; `body` None for a DELETE."""

    method: str
    path: str
    body: Body | None = None
    headers: dict[str, str] = {}


class Ids(msgspec.Struct):
    """Of the entities an edit may be about, by their kind on the wire; they may be gone by then."""

    customers: list[str] = []
    teams: list[str] = []
    virtual_keys: list[str] = []
    etags: dict[str, str] = {}

    def of(self, kind: str) -> list[str]:
        found: list[str] = getattr(self, kind.replace("-", "_"))
        return found


async def make_tree(api: TestApi, random: Random) -> Ids:
    """Three customers, four teams and eight virtual keys, each with limits."""
    ids = Ids()
    for kind, count in (("customers", 3), ("teams", 4), ("virtual-keys", 8)):
        for number in range(count):
            made = await make_entity(api, kind, name=f"{kind} {number}", **_owner(kind, ids, random), **_limits(random))
            ids.of(kind).append(made["id"])
            answer = await api.get(f"{API}/{kind}/{made['id']}")
            ids.etags[made["id"]] = answer.headers["ETag"]
    return ids


def random_edit(ids: Ids, random: Random) -> Edit:
    make: Callable[[Ids, Random], Edit] = random.choices(
        (_rename, _limit, _move, _align, _create, _delete), weights=(4, 6, 6, 2, 3, 1)
    )[0]
    return make(ids, random)


def _rename(ids: Ids, random: Random) -> Edit:
    return _put(ids, random, _kind(random), lambda _: {"name": random.choice(NAMES)})


def _limit(ids: Ids, random: Random) -> Edit:
    return _put(ids, random, _kind(random), lambda _: _limits(random))


def _move(ids: Ids, random: Random) -> Edit:
    kind = random.choice(("teams", "virtual-keys"))
    return _put(ids, random, kind, lambda kind: _owner(kind, ids, random) | _limits(random))


def _align(ids: Ids, random: Random) -> Edit:
    return _put(ids, random, _kind(random), lambda _: {"calendar_aligned": random.random() < 0.5})


def _create(ids: Ids, random: Random) -> Edit:
    kind = _kind(random)
    name = random.choice((*NAMES, f"made {random.random()}"))
    return Edit("POST", f"{API}/{kind}", {"name": name, **_owner(kind, ids, random), **_limits(random)})


def _delete(ids: Ids, random: Random) -> Edit:
    kind = _kind(random)
    return Edit("DELETE", f"{API}/{kind}/{random.choice(ids.of(kind))}")


def _put(ids: Ids, random: Random, kind: str, body: Callable[[str], Body]) -> Edit:
    entity_id = random.choice(ids.of(kind))
    tag = random.choice((None, None, None, "*", ids.etags[entity_id]))
    return Edit("PUT", f"{API}/{kind}/{entity_id}", body(kind), {"If-Match": tag} if tag else {})


def _kind(random: Random) -> str:
    return random.choice(("customers", "teams", "virtual-keys"))


def _owner(kind: str, ids: Ids, random: Random) -> Body:
    if kind == "customers":
        return {}
    customer_id = random.choice((*ids.customers, None))
    if kind == "teams" or customer_id is None or random.random() < 0.3:
        return {"customer_id": customer_id}
    return {"team_id": random.choice(ids.teams)}


def _limits(random: Random) -> Body:
    budgets = [
        {"max_limit": random.randint(1, 1000), "reset_duration": duration}
        for duration in random.sample(DURATIONS, random.randint(0, 3))
    ]
    tokens = {"token_max_limit": random.randint(1, 1000), "token_reset_duration": "1h"}
    requests = {"request_max_limit": random.randint(1, 1000), "request_reset_duration": "1m"}
    return {"budgets": budgets, "rate_limit": random.choice(({}, tokens, requests, tokens | requests))}
