"""Reports of usage: each booked once, against whoever the call was of, and each told what became of it."""

from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from service.store.postgres import Connection
from tests.conftest import Clock
from tests.factories import Factory
from tests.gateway import VALUE, Gateway, reported, standing
from tests.waiting import until

USED = {"provider": "openai", "model": "gpt-4o", "input_tokens": 100, "output_tokens": 50, "cost": 0.25}


@pytest.fixture
async def key(make: Factory) -> str:
    return await make.virtual_key(value=VALUE, allow_all_providers=True)


async def booked(connection: Connection) -> list[dict[str, Any]]:
    return [dict(row) for row in await connection.fetch("SELECT * FROM usage_events ORDER BY id")]


async def totals(connection: Connection) -> dict[str, int]:
    """What was used of each meter, in all its windows together."""
    rows = await connection.fetch("SELECT meter_id, sum(used)::bigint AS used FROM meter_windows GROUP BY 1")
    return {row["meter_id"]: row["used"] for row in rows}


async def test_what_is_reported_is_in_the_ledger_when_it_is_answered(
    gateway: Gateway, make: Factory, connection: Connection, clock: Clock
) -> None:
    customer = await make.customer()
    team = await make.team(customer_id=customer)
    key = await make.virtual_key(value=VALUE, team_id=team)
    metadata = {"trace": "a", "nested": {"list": [1, 2.5, None, True]}}
    answer = await gateway.report("call", **USED, cached_input_tokens=10, metadata=metadata)
    assert answer == {"request_id": "call", "status": "recorded", "cost": 0.25, "priced": True}
    (event,) = await booked(connection)
    assert bytes(event.pop("metadata")) == b'{"trace": "a", "nested": {"list": [1, 2.5, null, true]}}'
    for made in ("id", "recorded_at", "charge_meter_ids", "charge_epochs", "charge_window_starts", "charge_amounts"):
        del event[made]
    assert event == {
        "request_id": "call",
        "tenant_id": f"customer:{customer}",
        "virtual_key_id": key,
        "team_id": team,
        "customer_id": customer,
        "provider": "openai",
        "model": "gpt-4o",
        "status": "success",
        "input_tokens": 100,
        "output_tokens": 50,
        "cached_input_tokens": 10,
        "cost_nanousd": 250_000_000,
        "priced": True,
        "occurred_at": clock.now,
    }


async def test_every_level_is_charged_what_it_counts(gateway: Gateway, make: Factory, connection: Connection) -> None:
    customer = await make.customer()
    team = await make.team(customer_id=customer)
    key = await make.virtual_key(value=VALUE, team_id=team)
    config = await make.provider_config(virtual_key_id=key, provider="openai")
    of_key = await make.model_config(virtual_key_id=key, model_name="gpt-4o")
    of_all = await make.model_config(model_name="*", provider="openai")
    await make.model_config(model_name="o1")
    owners = {"team_id": team, "virtual_key_id": key, "provider_config_id": config, "customer_id": customer}
    for number, (column, owner) in enumerate(
        [*owners.items(), ("model_config_id", of_key), ("model_config_id", of_all)]
    ):
        await make.budget(id=f"b{number}", **{column: owner})
        await make.rate_limit(
            id=f"r{number}",
            token_reset_duration="1d",
            request_max_limit=9,
            request_reset_duration="1h",
            **{column: owner},
        )
    await gateway.report("one", **USED)
    await gateway.report("failed", **USED | {"status": "error"})
    await gateway.report("cancelled", **USED | {"status": "cancelled"})
    expected: dict[str, int] = {}
    for number in range(6):
        expected |= {f"budget:b{number}": 3 * 250_000_000, f"tokens:r{number}": 450, f"requests:r{number}": 1}
    assert await totals(connection) == expected


async def test_the_same_report_again_is_a_duplicate_and_another_one_a_conflict(
    gateway: Gateway, key: str, connection: Connection
) -> None:
    await gateway.report("call", **USED)
    again = await gateway.report("call", **USED)
    assert again == {"request_id": "call", "status": "duplicate", "cost": 0.25, "priced": True}
    by_id = await gateway.send("usage", {"request_id": "call", "virtual_key_id": key, **USED})
    assert (by_id[0], by_id[1]["status"]) == (200, "duplicate")
    others: list[dict[str, Any]] = [{"cost": 0.26}, {"status": "error"}, {"model": "o1"}, {"metadata": {}}]
    for other in others:
        status, answer = await gateway.send("usage", reported("call", **USED | other))
        assert (status, answer["error"]["path"]) == (409, "$.request_id"), other
    assert len(await booked(connection)) == 1


async def test_an_array_is_answered_one_by_one_in_order(gateway: Gateway, key: str, connection: Connection) -> None:
    await gateway.report("before", **USED)
    answer = await gateway.report_all(
        reported("a", **USED),
        reported("before", **USED),
        reported("before", cost=9),
        reported("b", virtual_key="sk-bf-nobody"),
        reported("a", **USED),
        reported("a", cost=9),
        {"request_id": "c", "virtual_key_id": key, "cost": 1},
        {"request_id": "d", "virtual_key_id": "nobody"},
    )
    assert [(each["request_id"], each["status"]) for each in answer.pop("results")] == [
        ("a", "recorded"),
        ("before", "duplicate"),
        ("before", "conflict"),
        ("b", "unknown_key"),
        ("a", "duplicate"),
        ("a", "conflict"),
        ("c", "recorded"),
        ("d", "unknown_key"),
    ]
    assert answer == {"recorded": 2, "duplicate": 2, "conflict": 2, "unknown_key": 2}
    assert [event["request_id"] for event in await booked(connection)] == ["before", "a", "c"]


async def test_an_array_of_a_thousand_is_one_answer_and_of_more_is_refused(
    gateway: Gateway, key: str, make: Factory, connection: Connection
) -> None:
    await make.budget(id="b", virtual_key_id=key)
    events = [reported(f"call-{number}", cost=0.001) for number in range(1001)]
    status, answer = await gateway.send("usage", events)
    assert (status, answer["error"]["path"]) == (400, "$")
    assert await booked(connection) == []
    assert (await gateway.report_all(*events[:1000]))["recorded"] == 1000
    assert (await gateway.report_all(*events[:1000]))["duplicate"] == 1000
    assert await totals(connection) == {"budget:b": 10**9}
    assert (await gateway.send("usage", []))[0] == 400


async def test_an_unknown_virtual_key_is_told_of_and_nothing_is_booked(
    gateway: Gateway, key: str, connection: Connection
) -> None:
    for who in ({"virtual_key": "sk-bf-nobody"}, {"virtual_key_id": "nobody"}):
        status, answer = await gateway.send("usage", {"request_id": "call", **USED, **who})
        assert (status, answer["error"]["message"]) == (404, "Virtual key not found")
    assert await booked(connection) == []


async def test_usage_of_an_expired_and_of_an_inactive_virtual_key_is_booked(
    gateway: Gateway, make: Factory, connection: Connection, clock: Clock
) -> None:
    for value, columns in (("sk-bf-1", {"expires_at": clock.now}), ("sk-bf-2", {"is_active": False})):
        key = await make.virtual_key(value=value, **columns)
        await make.budget(id=f"b-{value}", virtual_key_id=key)
        assert (await gateway.report(value, virtual_key=value, cost=1))["status"] == "recorded"
    assert await totals(connection) == {"budget:b-sk-bf-1": 10**9, "budget:b-sk-bf-2": 10**9}


async def test_usage_with_a_value_that_works_no_more_is_booked(
    gateway: Gateway, key: str, connection: Connection, clock: Clock
) -> None:
    await connection.execute(
        "UPDATE virtual_keys SET previous_value_hash = value_hash, value_hash = decode(repeat('00', 32), 'hex'), "
        "previous_value_expires_at = $1",
        clock.now,
    )
    for status in ("recorded", "duplicate"):
        assert (await gateway.report("call", **USED))["status"] == status
    assert [event["virtual_key_id"] for event in await booked(connection)] == [key]


@pytest.mark.parametrize("named_by", ["value", "id"])
async def test_usage_of_a_deleted_virtual_key_is_booked_on_its_owners(
    gateway: Gateway, make: Factory, connection: Connection, named_by: str
) -> None:
    customer = await make.customer()
    team = await make.team(customer_id=customer)
    key = await make.virtual_key(value=VALUE, team_id=team, allow_all_providers=True)
    for name, owner in (
        ("key", {"virtual_key_id": key}),
        ("team", {"team_id": team}),
        ("acme", {"customer_id": customer}),
    ):
        await make.budget(id=name, **owner)
    await gateway.authorize(request_id="held", estimated_cost=1)
    await connection.execute("DELETE FROM virtual_keys")
    await until(lambda: is_unknown(gateway))
    who = {"virtual_key": VALUE} if named_by == "value" else {"virtual_key": None, "virtual_key_id": key}
    assert (await gateway.report("held", cost=2, **who))["status"] == "recorded"
    assert (await gateway.report("not held", cost=4, **who))["status"] == "recorded"
    owners = {(event["virtual_key_id"], event["team_id"], event["customer_id"]) for event in await booked(connection)}
    assert owners == {(key, team, customer)}
    # What was held is charged where it was held; the key's own budget is gone, and its history stays.
    assert await totals(connection) == {"budget:key": 2 * 10**9, "budget:team": 6 * 10**9, "budget:acme": 6 * 10**9}


async def is_unknown(gateway: Gateway) -> bool:
    return bool((await gateway.authorize())["decision"] == "access_not_found")


async def test_a_report_is_of_the_key_whose_call_holds(gateway: Gateway, key: str, make: Factory) -> None:
    await make.virtual_key(value="sk-bf-other")
    await gateway.authorize(request_id="call")
    status, _ = await gateway.send("usage", reported("call", virtual_key="sk-bf-other", cost=1))
    assert status == 409
    assert (await gateway.report("call", cost=1))["status"] == "recorded"


async def test_a_call_that_went_elsewhere_is_charged_where_it_went(
    gateway: Gateway, make: Factory, connection: Connection, redis: Redis
) -> None:
    key = await make.virtual_key(value=VALUE)
    await make.budget(id="key", virtual_key_id=key)
    for provider in ("azure", "openai"):
        config = await make.provider_config(virtual_key_id=key, provider=provider, weight=provider == "azure")
        await make.budget(id=f"key {provider}", provider_config_id=config)
        whole = await make.model_config(model_name="*", provider=provider)
        await make.budget(id=f"all {provider}", model_config_id=whole)
    call = await gateway.authorize(request_id="call", model="gpt-4o", estimated_cost=1)
    assert call["provider"] == "azure"
    await gateway.report("call", provider="openai", model="gpt-4o", cost=2)
    assert await totals(connection) == {f"budget:{limit}": 2 * 10**9 for limit in ("key", "key openai", "all openai")}
    assert await redis.keys("gov:*held") == []


async def test_what_a_report_leaves_out_is_taken_from_the_hold(
    gateway: Gateway, key: str, connection: Connection
) -> None:
    await gateway.authorize(request_id="call", provider="openai", model="gpt-4o")
    await gateway.report("call", cost=1)
    (event,) = await booked(connection)
    assert (event["provider"], event["model"]) == ("openai", "gpt-4o")


async def test_usage_without_a_hold_belongs_to_the_time_it_happened_at(
    gateway: Gateway, make: Factory, key: str, connection: Connection, clock: Clock
) -> None:
    await make.budget(id="b", virtual_key_id=key, anchored_at=clock.now - timedelta(days=10))
    for days in (0, 1, 3):
        at = clock.now - timedelta(days=days)
        await gateway.report(f"{days} days ago", cost=days + 1, occurred_at=at.isoformat())
    rows = await connection.fetch("SELECT window_start, used FROM meter_windows ORDER BY 1 DESC")
    assert [((clock.now - row["window_start"]).days, row["used"] // 10**9) for row in rows] == [(0, 1), (1, 2), (3, 4)]
    assert standing(await gateway.authorize(), "b")["used"] == 1


async def test_a_report_is_of_the_last_seven_days(
    gateway: Gateway, key: str, connection: Connection, clock: Clock
) -> None:
    for offset, message in (
        (timedelta(minutes=5, microseconds=1), "is in the future"),
        (-timedelta(days=7, microseconds=1), "is more than 7 days ago"),
    ):
        event = reported("call", cost=1, occurred_at=(clock.now + offset).isoformat())
        for body, path in (
            (event, "$.occurred_at"),
            ([event], "$[0].occurred_at"),
            ([reported("a"), event], "$[1].occurred_at"),
        ):
            status, answer = await gateway.send("usage", body)
            assert (status, answer["error"]["message"]) == (400, message)
            assert answer["error"]["path"] == path
    assert await booked(connection) == []
    for number, offset in enumerate((timedelta(minutes=5), -timedelta(days=7))):
        await gateway.report(f"call-{number}", cost=1, occurred_at=(clock.now + offset).isoformat())


async def test_a_key_that_moved_during_the_call_is_charged_where_it_was(
    gateway: Gateway, make: Factory, connection: Connection
) -> None:
    here, there = await make.customer(), await make.customer()
    await make.budget(id="here", customer_id=here)
    await make.budget(id="there", customer_id=there)
    key = await make.virtual_key(value=VALUE, customer_id=here, allow_all_providers=True)
    await make.budget(id="key", virtual_key_id=key)
    await gateway.authorize(request_id="before", estimated_cost=1)
    await connection.execute("UPDATE virtual_keys SET customer_id = $1", there)

    async def has_moved() -> bool:
        answer = await gateway.authorize(estimated_cost=100)
        return [each["limit"]["id"] for each in answer["limits"]] == ["key", "there"]

    await until(has_moved)
    await gateway.report("before", cost=2)
    await gateway.report("after", cost=4)
    assert await totals(connection) == {"budget:key": 6 * 10**9, "budget:here": 2 * 10**9, "budget:there": 4 * 10**9}
    answer = await gateway.authorize(estimated_cost=100)
    assert [standing(answer, each)["used"] for each in ("key", "there")] == [6, 4]
    (of_before, _) = await booked(connection)
    assert of_before["customer_id"] == here
