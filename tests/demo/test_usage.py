"""The usage of a tree: what the ledger says is what the meters stand at."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from service.demo.shape import DemoShape
from service.domain.durations import parse_reset_duration
from service.domain.sealing import Sealer
from service.domain.windows import ResetRule, to_us, window_at
from service.store.postgres import Connection
from tests.conftest import Clock, TestApi
from tests.demo.trees import DEFAULT, NOW, count_rows, write
from tests.reading import read_customers

CHARGES = """
    SELECT charge.meter_id, charge.epoch, charge.window_start, sum(charge.amount)::bigint AS used
      FROM usage_events AS event,
           unnest(charge_meter_ids, charge_epochs, charge_window_starts, charge_amounts)
           AS charge (meter_id, epoch, window_start, amount)
     GROUP BY 1, 2, 3"""
BUDGET_USE = """
    SELECT used, max_limit_nanousd, window_start
      FROM meter_windows JOIN budgets ON meter_id = 'budget:' || budgets.id AND meter_windows.epoch = budgets.epoch"""


@pytest.mark.parametrize("shape", [DEFAULT, DemoShape(4, 5, 10)])
async def test_the_ledger_adds_up_to_the_meters_and_the_days(
    connection: Connection, sealer: Sealer, shape: DemoShape
) -> None:
    await write(connection, sealer, shape)
    meters = "SELECT meter_id, epoch, window_start, used FROM meter_windows"
    assert await connection.fetch(f"({CHARGES}) EXCEPT ({meters})") == []
    assert await connection.fetch(f"({meters}) EXCEPT ({CHARGES})") == []
    sums = "SELECT sum(requests), sum(errors), sum(input_tokens), sum(cost_nanousd) FROM"
    events = (
        "SELECT count(*), count(*) FILTER (WHERE status = 'error'), sum(input_tokens), sum(cost_nanousd) "
        "FROM usage_events"
    )
    for table in ("usage_hourly", "usage_daily", "usage_daily_by_owner"):
        assert await connection.fetch(f"{sums} {table}") == await connection.fetch(events)


async def test_an_event_is_in_the_tenant_of_every_meter_it_was_charged_to(
    connection: Connection, sealer: Sealer
) -> None:
    await write(connection, sealer)
    charged = "SELECT unnest(charge_meter_ids) AS meter_id, tenant_id FROM usage_events"
    stands = "SELECT meter_id, found.tenant_id FROM meter_windows, meter_tenant(meter_id) AS found"
    assert await connection.fetch(f"{charged} EXCEPT {stands}") == []


async def test_each_success_is_charged_to_every_limit_on_its_way_in_the_window_it_happened_in(
    connection: Connection, sealer: Sealer
) -> None:
    await write(connection, sealer, DemoShape(4, 5, 10))
    limits = await _limits(connection)
    levels = set()
    for event in await connection.fetch("SELECT * FROM usage_events"):
        own = [limit for limit in limits if limit["owner"] in _owners(event)]
        expected = (
            [charge for limit in own for charge in _charges(event, limit)] if event["status"] == "success" else []
        )
        charged = (event[f"charge_{column}"] for column in ("meter_ids", "window_starts", "amounts"))
        assert sorted(zip(*charged, strict=True)) == sorted(expected)
        levels |= {limit["owner"].split(" ")[0] for limit in own}
    assert levels == {"customer", "team", "key", "config"}


async def _limits(connection: Connection) -> list[Any]:
    """Every meter there may be, with its owner as `_owners` writes it and the calendar it follows."""
    meters = """
        SELECT 'budget:' || id AS meter_id, 'cost' AS counts, reset_duration, quarter_start_month, anchored_at,
               customer_id, team_id, virtual_key_id, provider_config_id FROM budgets
        UNION ALL SELECT 'tokens:' || id, 'tokens', token_reset_duration, NULL, anchored_at,
               customer_id, team_id, virtual_key_id, provider_config_id FROM rate_limits WHERE token_max_limit > 0
        UNION ALL SELECT 'requests:' || id, 'requests', request_reset_duration, NULL, anchored_at,
               customer_id, team_id, virtual_key_id, provider_config_id FROM rate_limits WHERE request_max_limit > 0"""
    return await connection.fetch(f"""
        SELECT meter.*, owner.calendar_aligned, owner.time_zone,
               coalesce('config ' || config.virtual_key_id || config.provider, 'key ' || meter.virtual_key_id,
                        'team ' || meter.team_id, 'customer ' || meter.customer_id) AS owner
          FROM ({meters}) AS meter
          LEFT JOIN virtual_key_provider_configs AS config ON config.id = provider_config_id
          JOIN (SELECT id, calendar_aligned, time_zone FROM customers
                UNION ALL SELECT id, calendar_aligned, time_zone FROM teams
                UNION ALL SELECT id, calendar_aligned, time_zone FROM virtual_keys) AS owner
            ON owner.id IN (meter.customer_id, meter.team_id, meter.virtual_key_id, config.virtual_key_id)""")


def _owners(event: Any) -> set[str]:
    key = event["virtual_key_id"]
    return {
        f"customer {event['customer_id']}",
        f"team {event['team_id']}",
        f"key {key}",
        f"config {key}{event['provider']}",
    }


def _charges(event: Any, limit: Any) -> list[tuple[str, datetime, int]]:
    rule = ResetRule(
        duration=parse_reset_duration(limit["reset_duration"]),
        anchored_us=to_us(limit["anchored_at"]),
        calendar_aligned=limit["calendar_aligned"],
        time_zone=limit["time_zone"],
        quarter_start_month=limit["quarter_start_month"] or 1,
    )
    amounts = {
        "cost": event["cost_nanousd"],
        "tokens": event["input_tokens"] + event["output_tokens"],
        "requests": 1,
    }
    if limit["reset_duration"] == "1m":
        return []
    return [(limit["meter_id"], window_at(rule, event["occurred_at"]).start, amounts[limit["counts"]])]


async def test_most_usage_is_within_its_limit_and_none_is_absurd(connection: Connection, sealer: Sealer) -> None:
    await write(connection, sealer, DemoShape(6, 5, 10))
    shares = [row["used"] / row["max_limit_nanousd"] for row in await connection.fetch(BUDGET_USE)]
    assert len(shares) > 200
    assert sum(share > 1 for share in shares) < len(shares) / 10
    assert max(shares) < 5
    assert max(shares) > 0.5


async def test_usage_is_recent_and_only_of_virtual_keys_that_may_be_used(
    connection: Connection, sealer: Sealer
) -> None:
    await write(connection, sealer, DemoShape(4, 5, 10))
    outside = "NOT occurred_at BETWEEN $1 AND $2"
    assert await count_rows(connection, "usage_events", outside, NOW - timedelta(days=7), NOW) == 0
    unusable = "SELECT id FROM virtual_keys WHERE NOT is_active OR expires_at <= $1"
    assert await count_rows(connection, "usage_events", f"virtual_key_id IN ({unusable})", NOW) == 0


async def test_usage_of_a_large_tree_is_bounded_and_spread(connection: Connection, sealer: Sealer) -> None:
    await write(connection, sealer, DemoShape(40, 5, 5))
    used = await connection.fetch("SELECT customer_id, count(DISTINCT virtual_key_id) FROM usage_events GROUP BY 1")
    assert len(used) == 40
    assert 150 < sum(row["count"] for row in used) <= 300


async def test_rate_limit_windows_shorter_than_an_hour_are_left_to_the_counters(
    connection: Connection, sealer: Sealer
) -> None:
    await write(connection, sealer)
    short = "SELECT 'requests:' || id FROM rate_limits WHERE request_reset_duration = '1m'"
    assert await count_rows(connection, "meter_windows", f"meter_id IN ({short})") == 0
    assert await count_rows(connection, "rate_limits", "request_reset_duration = '1m'") > 0


async def test_the_tree_shows_usage_on_every_level(
    api: TestApi, connection: Connection, sealer: Sealer, clock: Clock
) -> None:
    await write(connection, sealer, now=clock.now)
    customers = await read_customers(api)
    teams = [team for customer in customers for team in customer["teams"]]
    keys = [key for owner in (*customers, *teams) for key in owner["virtual_keys"]]
    for owners in (customers, teams, keys):
        assert any(budget["current_usage"] > 0 for owner in owners for budget in owner["budgets"])
        assert any(owner["rate_limit"]["token_current_usage"] > 0 for owner in owners if "rate_limit" in owner)
