"""The value of a virtual key: rotated, and the credential of its own quota."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from service.app import build_app
from service.settings import Settings
from service.store.ledger import record_usage
from service.store.postgres import Connection
from tests.api.calls import VIRTUAL_KEYS, make_entity, send
from tests.conftest import Clock, TestApi
from tests.factories import Factory, meter_of_budget, usage_event

QUOTA = f"{VIRTUAL_KEYS}/quota"


@pytest.fixture
async def cooling(settings: Settings, clock: Clock, aiohttp_client: Callable[..., Awaitable[TestApi]]) -> TestApi:
    """Old values go on working for an hour."""
    settings = msgspec.structs.replace(settings, rotation_cooldown_seconds=3600)
    return await aiohttp_client(build_app(settings, clock=clock))


async def quota(api: TestApi, value: str) -> tuple[int, Any]:
    return await send(api, "GET", QUOTA, **{"x-bf-vk": value})


async def test_rotation_gives_a_new_value_and_cuts_the_old_one_off(api: TestApi, connection: Connection) -> None:
    made = await make_entity(api, "virtual-keys", name="k", budgets=[{"max_limit": 5, "reset_duration": "1d"}])
    status, answer = await send(api, "POST", f"{VIRTUAL_KEYS}/{made['id']}/rotate")
    rotated = answer["virtual_key"]
    assert status == 200
    assert rotated["value"] != made["value"]
    changing = ("value", "rotated_at", "updated_at")
    assert {k: v for k, v in rotated.items() if k not in changing} == {
        k: v for k, v in made.items() if k not in changing
    }
    assert (await quota(api, made["value"]))[0] == 401
    assert (await quota(api, rotated["value"]))[0] == 200
    stored = await connection.fetchval("SELECT string_agg(changes::text, '') FROM audit_log")
    assert made["value"] not in stored
    assert rotated["value"] not in stored


async def test_within_the_cooldown_both_values_work(cooling: TestApi, clock: Clock) -> None:
    made = await make_entity(cooling, "virtual-keys", name="k")
    _, answer = await send(cooling, "POST", f"{VIRTUAL_KEYS}/{made['id']}/rotate")
    assert "previous_value_expires_at" in answer["virtual_key"]
    clock.forward(minutes=59)
    assert (await quota(cooling, made["value"]))[0] == 200
    clock.forward(minutes=1)
    assert (await quota(cooling, made["value"]))[0] == 401
    assert (await quota(cooling, answer["virtual_key"]["value"]))[0] == 200


async def test_many_are_rotated_at_once_and_the_missing_are_told_of(api: TestApi) -> None:
    made = [await make_entity(api, "virtual-keys", name=name) for name in "ab"]
    status, answer = await send(api, "POST", f"{VIRTUAL_KEYS}/rotate", {"ids": [made[1]["id"], "no", made[0]["id"]]})
    assert status == 200
    assert [key["id"] for key in answer["virtual_keys"]] == [made[1]["id"], made[0]["id"]]
    assert answer["errors"] == {"no": "Virtual key not found"}
    assert (await send(api, "POST", f"{VIRTUAL_KEYS}/rotate", {"ids": ["no"]}))[0] == 404
    assert (await send(api, "POST", f"{VIRTUAL_KEYS}/rotate", {"ids": []}))[0] == 400


async def test_a_lost_answer_to_a_rotation_is_given_again(api: TestApi) -> None:
    made = await make_entity(api, "virtual-keys", name="k")
    answers = [
        await send(api, "POST", f"{VIRTUAL_KEYS}/{made['id']}/rotate", **{"Idempotency-Key": "once"}) for _ in range(2)
    ]
    assert answers[0] == answers[1]
    assert (await quota(api, answers[0][1]["virtual_key"]["value"]))[0] == 200


@pytest.mark.parametrize(
    ("header", "prefix"),
    [
        ("x-bf-vk", ""),
        ("Authorization", "Bearer "),
        ("Authorization", "bearer "),
        ("x-api-key", ""),
        ("x-goog-api-key", ""),
        ("api-key", ""),
    ],
)
async def test_a_key_is_taken_from_every_header_clients_use(api: TestApi, header: str, prefix: str) -> None:
    made = await make_entity(api, "virtual-keys", name="k")
    status, answer = await send(api, "GET", QUOTA, **{header: prefix + made["value"]})
    assert (status, answer["virtual_key_name"]) == (200, "k")


async def test_the_quota_lists_every_limit_the_key_is_held_to(
    api: TestApi, connection: Connection, clock: Clock
) -> None:
    limits = {
        "budgets": [{"max_limit": 5, "reset_duration": "1d"}],
        "rate_limit": {"request_max_limit": 5, "request_reset_duration": "1h"},
    }
    customer = await make_entity(api, "customers", name="c", **limits)
    team = await make_entity(api, "teams", name="t", customer_id=customer["id"], **limits)
    key = await make_entity(api, "virtual-keys", name="k", team_id=team["id"], **limits)
    tenant_id, meter = await meter_of_budget(connection, key["budget_id"])
    event = usage_event(
        "r1",
        (tenant_id, meter, 1_000_000_000),
        at=clock(),
        virtual_key_id=key["id"],
        model="gpt-4o",
        provider="openai",
        input_tokens=3,
        output_tokens=4,
        cost_nanousd=1_000_000_000,
    )
    await record_usage(connection, [event])
    status, answer = await quota(api, key["value"])
    assert status == 200
    assert [(budget["source"], budget["current_usage"]) for budget in answer["budgets"]] == [
        ("vk", 1),
        ("team", 0),
        ("customer", 0),
    ]
    assert [limit["source"] for limit in answer["rate_limits"]] == ["vk", "team", "customer"]
    assert answer["budgets"][0]["per_model_usage"] == [
        {"model": "gpt-4o", "provider": "openai", "total_requests": 1, "total_tokens": 7, "total_cost": 1}
    ]
    assert key["value"] not in str(answer)


async def test_an_inactive_key_is_told_so_and_an_expired_one_is_refused(api: TestApi, clock: Clock) -> None:
    expires_at = (clock() + timedelta(hours=1)).isoformat()
    made = await make_entity(api, "virtual-keys", name="k", is_active=False, expires_at=expires_at)
    status, answer = await quota(api, made["value"])
    assert (status, answer["is_active"]) == (200, False)
    clock.forward(hours=1)
    assert (await quota(api, made["value"]))[0] == 403


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer gov_token"}, {"x-bf-vk": "sk-bf-wrong"}])
async def test_without_a_known_key_there_is_no_quota(api: TestApi, make: Factory, headers: dict[str, str]) -> None:
    await make.virtual_key()
    assert (await send(api, "GET", QUOTA, **headers))[0] == 401
