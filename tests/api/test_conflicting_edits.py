"""Fifty edits of one tree at once: each happens or is refused, and what is shown afterwards is what is there."""

import asyncio
from random import Random
from typing import Any

import msgspec
import pytest

from service.settings import Settings
from service.store.postgres import Connection
from tests.api.calls import API
from tests.api.random_edits import Edit, make_tree, random_edit
from tests.api.sending import Answered, send
from tests.api.tree_of_rows import Forest, forest_of_answers, forest_of_rows
from tests.conftest import TestApi
from tests.reading import read_customers

EDITS = 50
# More than by default, so that more edits run beside each other.
POOL_SIZE = 30
READERS = 5
# Done; what it is about is gone, its name is taken, or it was changed meanwhile. (400: its new owner is gone.)
STATUSES = {200, 201, 404, 409, 412}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, database_pool_size=POOL_SIZE)


async def apply(api: TestApi, edit: Edit) -> Answered:
    return await send(api, edit.method, edit.path, edit.body, edit.headers)


def may_be(answer: Answered) -> bool:
    if answer.status != 400:
        return answer.status in STATUSES
    return answer.body["error"].get("path") in ("$.customer_id", "$.team_id")


async def shown(api: TestApi) -> Forest:
    async def read(kind: str, field: str) -> Any:
        return (await send(api, "GET", f"{API}/{kind}")).body[field]

    return forest_of_answers(
        await read_customers(api), await read("teams", "teams"), await read("virtual-keys", "virtual_keys")
    )


async def keep_reading(api: TestApi, done: asyncio.Event) -> int:
    """How often the whole tree was read; every answer is one."""
    count = 0
    while not done.is_set():
        await read_customers(api)
        count += 1
    return count


@pytest.mark.parametrize("seed", range(3))
async def test_conflicting_edits_leave_a_tree_that_is_shown_as_it_is(
    api: TestApi, connection: Connection, seed: int
) -> None:
    random = Random(seed)
    ids = await make_tree(api, random)
    assert await shown(api) == await forest_of_rows(connection)
    edits = [random_edit(ids, random) for _ in range(EDITS)]
    done = asyncio.Event()
    readers = [asyncio.create_task(keep_reading(api, done)) for _ in range(READERS)]
    answers = await asyncio.gather(*(apply(api, edit) for edit in edits))
    done.set()
    assert min(await asyncio.gather(*readers)) > 0
    refused = [(edit, answer) for edit, answer in zip(edits, answers, strict=True) if not may_be(answer)]
    assert refused == []
    assert sum(answer.status == 200 for answer in answers) > EDITS // 4
    assert await shown(api) == await forest_of_rows(connection)


@pytest.mark.parametrize("seed", range(3))
async def test_every_edit_that_was_answered_is_in_the_audit_log_and_no_other(
    api: TestApi, connection: Connection, seed: int
) -> None:
    random = Random(100 + seed)
    ids = await make_tree(api, random)
    before = await connection.fetchval("SELECT count(*) FROM audit_log")
    edits = [random_edit(ids, random) for _ in range(EDITS)]
    answers = await asyncio.gather(*(apply(api, edit) for edit in edits))
    entries = await connection.fetch(
        "SELECT split_part(action, '.', 2) AS verb, entity_id, request_id FROM audit_log WHERE id > $1", before
    )
    done = {
        (answer.headers["X-Request-Id"], edit.method)
        for edit, answer in zip(edits, answers, strict=True)
        if answer.status in (200, 201)
    }
    verbs = {"create": "POST", "update": "PUT", "delete": "DELETE"}
    told = {(entry["request_id"], verbs[entry["verb"]]) for entry in entries}
    assert len(told) == len(entries), "one entry for each"
    assert told <= done
    # An update that changed nothing is not told of.
    assert {one for one in done - told if one[1] != "PUT"} == set()
