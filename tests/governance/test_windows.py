"""The window a read shows: usage of the current one only, without any job that resets."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.domain.windows import window_at
from service.store.postgres import Connection
from tests.conftest import Clock
from tests.factories import Factory, meter_of_budget, meter_of_rate_limit
from tests.governance.using import Replica


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


async def budget_of(replica: Replica) -> tuple[int, datetime]:
    """`current_usage` in dollars and `last_reset` of the customer's budget."""
    budget = (await replica.customer("acme"))["budget"]
    return int(budget["current_usage"]), datetime.fromisoformat(budget["last_reset"])


async def test_a_window_that_ended_reads_as_zero_and_names_the_new_start(
    replica: Replica, make: Factory, connection: Connection, clock: Clock
) -> None:
    await make.customer(id="acme")
    tenant_id, meter = await meter_of_budget(connection, await make.budget(customer_id="acme"))
    first = window_at(meter.rule, clock())
    await replica.book((tenant_id, meter, 4 * 10**9))
    assert await budget_of(replica) == (4, first.start)
    clock.now = first.end - timedelta(microseconds=1)
    assert await budget_of(replica) == (4, first.start)
    clock.now = first.end
    assert await budget_of(replica) == (0, first.end)
    await replica.book((tenant_id, meter, 10**9))
    assert await budget_of(replica) == (1, first.end)
    clock.forward(days=30)
    assert await budget_of(replica) == (0, first.end + timedelta(days=30))


async def test_a_late_report_for_an_ended_window_leaves_the_new_one_alone(
    replica: Replica, make: Factory, connection: Connection, clock: Clock
) -> None:
    await make.customer(id="acme")
    tenant_id, meter = await meter_of_budget(connection, await make.budget(customer_id="acme"))
    before = clock()
    clock.forward(days=1)
    await replica.book((tenant_id, meter, 10**9))
    await replica.book((tenant_id, meter, 10**9), at=before)
    assert (await budget_of(replica))[0] == 1


async def test_each_metric_of_a_rate_limit_has_a_window_of_its_own(
    replica: Replica, make: Factory, connection: Connection, clock: Clock
) -> None:
    await make.customer(id="acme")
    rate_limit_id = await make.rate_limit(customer_id="acme")  # tokens per hour, requests per minute
    tokens = await meter_of_rate_limit(connection, rate_limit_id, "token")
    requests = await meter_of_rate_limit(connection, rate_limit_id, "request")
    clock.now = window_at(tokens[1].rule, clock()).start
    await replica.book((*tokens, 500), (*requests, 1))

    async def shown() -> tuple[int, int, timedelta]:
        limit = (await replica.customer("acme"))["rate_limit"]
        resets = [datetime.fromisoformat(limit[f"{metric}_last_reset"]) for metric in ("token", "request")]
        return limit["token_current_usage"], limit["request_current_usage"], resets[1] - resets[0]

    assert await shown() == (500, 1, timedelta(0))
    clock.forward(minutes=1)
    assert await shown() == (500, 0, timedelta(minutes=1))
    clock.forward(minutes=59)
    assert await shown() == (0, 0, timedelta(0))


@pytest.mark.parametrize(
    ("limit", "time_zone", "now_and_start"),
    [
        ({"reset_duration": "1d"}, "UTC", ("2026-03-15T12:00", "2026-03-15T00:00")),
        ({"reset_duration": "1d"}, "Asia/Kolkata", ("2026-03-15T18:29", "2026-03-14T18:30")),
        ({"reset_duration": "1d"}, "Asia/Kolkata", ("2026-03-15T18:30", "2026-03-15T18:30")),
        ({"reset_duration": "1w"}, "UTC", ("2026-03-15T12:00", "2026-03-09T00:00")),
        ({"reset_duration": "1M"}, "America/New_York", ("2026-03-15T12:00", "2026-03-01T05:00")),
        ({"reset_duration": "3M"}, "UTC", ("2026-03-15T12:00", "2026-03-01T00:00")),
        ({"reset_duration": "1Q"}, "UTC", ("2026-03-15T12:00", "2026-01-01T00:00")),
        ({"reset_duration": "1Q", "quarter_start_month": 2}, "UTC", ("2026-03-15T12:00", "2026-02-01T00:00")),
        ({"reset_duration": "1Y"}, "Europe/Berlin", ("2026-03-15T12:00", "2025-12-31T23:00")),
        ({"reset_duration": "36h"}, "UTC", ("2026-03-15T12:00", "2026-03-15T09:00")),
    ],
)
async def test_an_aligned_window_starts_with_the_owners_calendar(
    replica: Replica, make: Factory, clock: Clock, limit: dict[str, Any], time_zone: str, now_and_start: tuple[str, str]
) -> None:
    await make.customer(id="acme", calendar_aligned=True, time_zone=time_zone)
    await make.budget(customer_id="acme", anchored_at=instant("2026-03-12T09:00"), **limit)
    clock.now = instant(now_and_start[0])
    assert (await budget_of(replica))[1] == instant(now_and_start[1])


async def test_usage_of_an_aligned_window_ends_at_the_owners_midnight(
    replica: Replica, make: Factory, connection: Connection, clock: Clock
) -> None:
    await make.customer(id="acme", calendar_aligned=True, time_zone="Asia/Kolkata")
    await make.budget(id="b", customer_id="acme", anchored_at=instant("2026-03-12T18:30"))  # a midnight in Kolkata
    clock.now = instant("2026-03-15T18:29")
    await replica.book((*await meter_of_budget(connection, "b"), 10**9))
    assert (await budget_of(replica))[0] == 1
    clock.forward(minutes=1)
    assert (await budget_of(replica))[0] == 0


async def test_a_provider_configs_limits_follow_its_virtual_keys_calendar(
    replica: Replica, make: Factory, clock: Clock
) -> None:
    await make.customer(id="acme")
    await make.virtual_key(id="key", customer_id="acme", calendar_aligned=True, time_zone="Asia/Kolkata")
    config_id = await make.provider_config(virtual_key_id="key")
    await make.budget(provider_config_id=config_id, anchored_at=instant("2026-03-12T09:00"))
    await make.budget(customer_id="acme", anchored_at=instant("2026-03-12T09:00"))
    clock.now = instant("2026-03-15T12:00")
    customer = await replica.customer("acme")
    of_config = customer["virtual_keys"][0]["provider_configs"][0]["budgets"][0]
    assert (of_config["last_reset"], customer["budget"]["last_reset"]) == (
        "2026-03-14T18:30:00Z",
        "2026-03-15T09:00:00Z",
    )


async def test_a_manual_reset_reads_as_zero_at_once_and_stays(
    replica: Replica, make: Factory, connection: Connection
) -> None:
    await make.customer(id="acme")
    tenant_id, before = await meter_of_budget(connection, await make.budget(id="b", customer_id="acme"))
    await replica.book((tenant_id, before, 10**9))
    assert (await budget_of(replica))[0] == 1
    await connection.execute("UPDATE budgets SET epoch = epoch + 1")
    assert (await budget_of(replica))[0] == 0
    await replica.book((tenant_id, before, 10**9))  # a worker that has not heard of the reset
    assert (await budget_of(replica))[0] == 0
    await replica.book((*await meter_of_budget(connection, "b"), 5 * 10**9))
    assert (await budget_of(replica))[0] == 5


async def test_an_override_counts_its_cycles_down_and_disappears(
    replica: Replica, make: Factory, connection: Connection, clock: Clock
) -> None:
    await make.customer(id="acme")
    override = {"override_mode": "cycles", "override_amount_nanousd": 2_500_000_000, "override_cycles_total": 3}
    await make.budget(id="b", customer_id="acme", override_anchor_reset=clock(), **override)
    _, meter = await meter_of_budget(connection, "b")
    for remaining in (3, 2, 1):
        for now in (window_at(meter.rule, clock()).start, window_at(meter.rule, clock()).end - timedelta(seconds=1)):
            clock.now = now
            budget = (await replica.customer("acme"))["budget"]
            assert (budget["override_cycles_remaining"], budget["override_cycles_total"]) == (remaining, 3)
            assert (budget["override_mode"], float(budget["override_amount"])) == ("cycles", 2.5)
        clock.forward(seconds=1)
    budget = (await replica.customer("acme"))["budget"]
    assert [name for name in budget if name.startswith("override")] == []
    assert budget["max_limit"] == 10


async def test_an_override_for_ever_stays(replica: Replica, make: Factory, clock: Clock) -> None:
    await make.customer(id="acme")
    await make.budget(customer_id="acme", override_mode="forever", override_amount_nanousd=1_000_000_000)
    for _ in range(3):
        budget = (await replica.customer("acme"))["budget"]
        assert (budget["override_mode"], budget["override_amount"]) == ("forever", 1)
        assert "override_cycles_remaining" not in budget
        clock.forward(days=400)
