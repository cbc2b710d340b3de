"""Entity tags: an edit made with If-Match meets the entity as its editor saw it, or nothing happens."""

import asyncio
from typing import Any

import pytest

from service.counters.client import CounterClient
from service.counters.meters import merge_windows
from service.store.ledger import record_usage
from service.store.postgres import Connection
from tests.api.calls import API
from tests.api.sending import send
from tests.conftest import Clock, TestApi
from tests.factories import meter_of_budget, usage_event

KINDS = {"customers": "customer", "teams": "team", "virtual-keys": "virtual_key"}
EDITS: list[dict[str, Any]] = [
    {"name": "B"},
    {"budgets": [{"max_limit": 6, "reset_duration": "1d"}]},
    {"budgets": []},
    {"rate_limit": {"request_max_limit": 5, "request_reset_duration": "1m"}},
    {"calendar_aligned": True},
    {"time_zone": "Asia/Tokyo"},
    {"max_parallel_requests": 7},
]


class Entity:
    """One of a kind, with a budget, over HTTP."""

    def __init__(self, api: TestApi, kind: str, made: Any) -> None:
        self._api = api
        self.path = f"{API}/{kind}/{made['id']}"
        self.field = KINDS[kind]
        self.budget_id = made["budgets"][0]["id"]

    async def etag(self) -> str:
        answer = await send(self._api, "GET", self.path)
        assert answer.status == 200
        return answer.headers["ETag"]

    async def body(self) -> Any:
        return (await send(self._api, "GET", self.path)).body[self.field]

    async def put(self, body: Any, if_match: str | None = None) -> tuple[int, str | None]:
        """The status and the new entity tag."""
        answer = await send(self._api, "PUT", self.path, body, {"If-Match": if_match} if if_match else None)
        return answer.status, answer.headers.get("ETag")

    async def delete(self, if_match: str) -> int:
        return (await send(self._api, "DELETE", self.path, None, {"If-Match": if_match})).status


@pytest.fixture(params=list(KINDS))
async def entity(request: pytest.FixtureRequest, api: TestApi) -> Entity:
    body = {"name": "A", "budgets": [{"max_limit": 5, "reset_duration": "1d"}]}
    answer = await send(api, "POST", f"{API}/{request.param}", body)
    assert answer.status in (200, 201), answer.body
    made = Entity(api, request.param, answer.body[KINDS[request.param]])
    assert await made.etag() == answer.headers["ETag"]
    return made


async def test_a_tag_stays_while_usage_and_time_go_on(
    entity: Entity, connection: Connection, counters: CounterClient, clock: Clock
) -> None:
    before = await entity.etag()
    tenant_id, meter = await meter_of_budget(connection, entity.budget_id)
    recorded = await record_usage(connection, [usage_event("r", (tenant_id, meter, 1_500_000_000), at=clock())])
    await merge_windows(counters, recorded.windows)
    assert (await entity.body())["budgets"][0]["current_usage"] == 1.5
    assert await entity.etag() == before
    clock.forward(days=2)
    assert (await entity.body())["budgets"][0]["current_usage"] == 0
    assert await entity.etag() == before


@pytest.mark.parametrize("edit", EDITS, ids=[next(iter(edit)) for edit in EDITS])
async def test_an_edit_gives_another_tag_and_answers_it(entity: Entity, edit: Any) -> None:
    before = await entity.etag()
    status, answered = await entity.put(edit)
    assert status == 200
    assert answered == await entity.etag() != before


async def test_a_stale_tag_changes_and_removes_nothing(entity: Entity, connection: Connection) -> None:
    stale = await entity.etag()
    await entity.put({"max_parallel_requests": 7})
    entries = await connection.fetchval("SELECT count(*) FROM audit_log")
    before = await entity.body()
    assert (await entity.put({"name": "stolen", "budgets": []}, stale))[0] == 412
    assert await entity.delete(stale) == 412
    assert await entity.delete('"never-one"') == 412
    assert await entity.body() == before
    assert await connection.fetchval("SELECT count(*) FROM audit_log") == entries


@pytest.mark.parametrize("form", ["{}", '"other", {}', "*", " {} "])
async def test_a_fresh_tag_among_others_or_a_star_lets_an_edit_through(entity: Entity, form: str) -> None:
    assert (await entity.put({"name": "B"}, form.format(await entity.etag())))[0] == 200
    assert (await entity.body())["name"] == "B"
    assert await entity.delete(form.format(await entity.etag())) == 200


async def test_the_tag_an_edit_answers_is_good_for_the_next(entity: Entity) -> None:
    _, answered = await entity.put({"name": "B"}, await entity.etag())
    assert answered is not None
    status, _ = await entity.put({"name": "C"}, answered)
    assert status == 200
    assert (await entity.put({"name": "D"}, answered))[0] == 412


async def test_a_weak_tag_matches_nothing(entity: Entity) -> None:
    assert (await entity.put({"name": "B"}, f"W/{await entity.etag()}"))[0] == 412


async def test_of_two_edits_of_what_both_saw_one_is_refused(entity: Entity) -> None:
    seen = await entity.etag()
    answers = await asyncio.gather(*(entity.put({"name": name}, seen) for name in ("B", "C")))
    assert sorted(status for status, _ in answers) == [200, 412]


async def test_what_is_gone_is_not_found_whatever_the_tag(entity: Entity) -> None:
    tag = await entity.etag()
    assert await entity.delete(tag) == 200
    assert await entity.delete(tag) == 404
    assert (await entity.put({"name": "B"}, "*"))[0] == 404
