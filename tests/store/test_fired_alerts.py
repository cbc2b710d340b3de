"""An alert fires in the booking that reaches its threshold: once per budget, epoch, window and percent."""

import asyncio
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import asyncpg
import pytest

from service.domain.durations import parse_reset_duration
from service.domain.windows import ResetRule, from_us, to_us, window_at, windows_since
from service.store.ledger import record_usage
from service.store.limits import start_budget_epochs
from service.store.postgres import Connection, connect
from tests.factories import Factory, meter_of_budget, meter_of_rate_limit, usage_event
from tests.store.fired import digits, fired, percents, spend, spend_on
from tests.store.planted_tree import plant_tree

LIMIT = 1000
BIGINT_MAX = 2**63 - 1


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
async def budget(make: Factory) -> str:
    return await make.budget(customer_id=await make.customer(), max_limit_nanousd=LIMIT)


async def test_a_threshold_is_told_of_when_it_is_reached_and_never_again(
    connection: Connection, budget: str, now: datetime
) -> None:
    await spend(connection, budget, 499, at=now)
    assert await percents(connection) == []
    await spend(connection, budget, 1, at=now)
    assert await percents(connection) == [50]
    await spend(connection, budget, 700, at=now)
    assert await percents(connection) == [50, 80, 100]
    await spend(connection, budget, 5000, at=now)
    assert await percents(connection) == [50, 80, 100]


async def test_an_alert_tells_what_was_used_of_what(connection: Connection, budget: str, now: datetime) -> None:
    await spend(connection, budget, 510, at=now)
    (alert,) = await fired(connection)
    _, meter = await meter_of_budget(connection, budget)
    assert (digits(alert.max_limit), digits(alert.used)) == ("0.000001", "0.00000051")
    assert alert.window_start == window_at(meter.rule, now).start
    assert (alert.budget_id, alert.state, alert.attempts) == (budget, "pending", 0)
    assert abs(alert.fired_at - datetime.now(UTC)) < timedelta(minutes=1)


async def test_any_percent_can_be_told_of_and_none_need_be(
    connection: Connection, make: Factory, now: datetime
) -> None:
    customer = await make.customer()
    for name, thresholds in (("many", [1, 150, 1000]), ("none", [])):
        await make.budget(id=name, customer_id=customer, max_limit_nanousd=LIMIT, alert_thresholds=thresholds)
        await spend(connection, name, 1500, at=now)
    assert await percents(connection, budget_id="many") == [1, 150]
    assert await percents(connection, budget_id="none") == []


@pytest.mark.parametrize("percent", [1, 33, 50, 99, 100])
async def test_a_threshold_is_exact_at_any_size_and_in_any_order(
    connection: Connection, make: Factory, now: datetime, percent: int
) -> None:
    limit, customer = 9_000_000_000_000_000_000, await make.customer()
    await make.budget(id="b", customer_id=customer, max_limit_nanousd=limit, alert_thresholds=[150, percent])
    await spend(connection, "b", limit // 100 * percent - 1, at=now)
    assert await percents(connection) == []
    await spend(connection, "b", 1, at=now)
    assert await percents(connection) == [percent]


async def test_the_next_window_tells_anew(connection: Connection, budget: str, now: datetime) -> None:
    for days in (0, 0, 1, 1):
        await spend(connection, budget, 900, at=now + timedelta(days=days))
    assert len({alert.window_start for alert in await fired(connection)}) == 2
    assert await percents(connection) == [50, 50, 80, 80, 100, 100]


async def test_a_closed_window_tells_of_a_late_report(connection: Connection, budget: str, now: datetime) -> None:
    await spend(connection, budget, 500, at=now)
    await spend(connection, budget, 1000, at=now + timedelta(days=1))
    await spend(connection, budget, 300, at=now)
    late = (await fired(connection))[-1]
    assert late.threshold_percent == 80
    assert late.window_start < max(alert.window_start for alert in await fired(connection))


async def test_a_manual_reset_tells_anew_and_what_was_before_it_is_over(
    connection: Connection, budget: str, now: datetime
) -> None:
    before = await meter_of_budget(connection, budget)
    await spend(connection, budget, 500, at=now)
    await start_budget_epochs(connection, [budget])
    await spend_on(connection, before, 500, at=now)
    assert await percents(connection) == [50]
    await spend(connection, budget, 800, at=now)
    assert await percents(connection) == [50, 50, 80]


async def test_another_limit_or_threshold_is_told_of_at_the_next_booking(
    connection: Connection, budget: str, now: datetime
) -> None:
    await spend(connection, budget, 400, at=now)
    await connection.execute("UPDATE budgets SET max_limit_nanousd = 500, alert_thresholds = '{50,70}'")
    assert await percents(connection) == []
    await spend(connection, budget, 0, at=now)
    assert await percents(connection) == [50, 70]


async def test_a_batch_that_is_not_booked_tells_nothing(connection: Connection, budget: str, now: datetime) -> None:
    owned = await meter_of_budget(connection, budget)
    sound = usage_event("sound", (*owned, 900), at=now)
    unsound = usage_event("unsound", (*owned, 900), at=now, cost_nanousd=-1)
    with pytest.raises(asyncpg.CheckViolationError):
        await record_usage(connection, [sound, unsound])
    transaction = connection.transaction()
    await transaction.start()
    await record_usage(connection, [sound])
    assert await percents(connection) == [50, 80]
    await transaction.rollback()
    assert await percents(connection) == []
    await record_usage(connection, [sound])
    assert await percents(connection) == [50, 80]


async def test_a_repeated_report_tells_nothing(connection: Connection, budget: str, now: datetime) -> None:
    event = usage_event("once", (*await meter_of_budget(connection, budget), 500), at=now)
    await record_usage(connection, [event])
    await connection.execute("DELETE FROM alerts")
    await record_usage(connection, [event])
    assert await percents(connection) == []


async def test_many_writers_with_repeats_tell_of_each_threshold_once(
    connection: Connection, database_url: str, make: Factory, now: datetime
) -> None:
    customer = await make.customer()
    budgets = [await make.budget(customer_id=customer, max_limit_nanousd=LIMIT) for _ in range(3)]
    owned = [await meter_of_budget(connection, budget) for budget in budgets]
    reports = [usage_event(f"r{number}", *((*meter, 10) for meter in owned), at=now) for number in range(120)]

    async def write(seed: int) -> None:
        random, writer = Random(seed), await connect(database_url)
        mine = random.sample(reports, len(reports))
        for start in range(0, len(mine), 7):
            await record_usage(writer, mine[start : start + 7])
        await writer.close()

    await asyncio.gather(*map(write, range(6)))
    for budget in budgets:
        alerts = await fired(connection, budget_id=budget)
        assert sorted(alert.threshold_percent for alert in alerts) == [50, 80, 100]
    assert await connection.fetchval("SELECT min(used) FROM meter_windows") == 1200


async def test_meters_that_are_no_budgets_and_budgets_that_are_gone_tell_nothing(
    connection: Connection, make: Factory, budget: str, now: datetime
) -> None:
    customer = await connection.fetchval("SELECT customer_id FROM budgets")
    tokens = await meter_of_rate_limit(connection, await make.rate_limit(customer_id=customer), "token")
    gone = await meter_of_budget(connection, budget)
    await connection.execute("DELETE FROM budgets")
    await spend_on(connection, tokens, 10**6, at=now)
    await spend_on(connection, gone, 10**6, at=now)
    assert await percents(connection) == []


async def test_an_alert_outlives_its_budget(connection: Connection, budget: str, now: datetime) -> None:
    await spend(connection, budget, 500, at=now)
    await connection.execute("DELETE FROM customers")
    (alert,) = await fired(connection)
    assert (alert.owner.type, alert.owner.name[:9]) == ("customer", "customers")


async def test_no_number_keeps_usage_from_being_booked(connection: Connection, make: Factory, now: datetime) -> None:
    override = {"override_mode": "forever", "override_amount_nanousd": 9 * 10**18}
    budget = await make.budget(
        customer_id=await make.customer(),
        max_limit_nanousd=9 * 10**18,
        alert_thresholds=[1, 99, 1000],
        **override,
    )
    await spend(connection, budget, BIGINT_MAX, at=now)
    assert await percents(connection) == [1, 99]


OWNERS = {
    "customer_id": ("customer", "customers", ("customer",)),
    "team_id": ("team", "teams", ("customer", "team")),
    "virtual_key_id": ("virtual_key", "virtual_keys", ("customer", "team", "virtual_key")),
    "provider_config_id": ("provider_config", "openai", ("customer", "team", "virtual_key")),
    "model_config_id": ("model_config", "gpt-4o", ("customer", "team", "virtual_key")),
}


@pytest.mark.parametrize("column", OWNERS)
async def test_an_alert_names_the_owner_and_all_it_belongs_to(
    connection: Connection, make: Factory, now: datetime, column: str
) -> None:
    kind, name, above = OWNERS[column]
    owners = await plant_tree(make, "a")
    await connection.execute("DELETE FROM budgets")
    budget = await make.budget(max_limit_nanousd=LIMIT, **{column: owners[column]})
    await spend(connection, budget, 500, at=now)
    (alert,) = await fired(connection)
    assert (alert.owner.type, alert.owner.id) == (kind, str(owners[column]))
    assert alert.owner.name.startswith(name)
    ids = {"customer": alert.customer_id, "team": alert.team_id, "virtual_key": alert.virtual_key_id}
    assert {owner: found for owner, found in ids.items() if isinstance(found, str)} == {
        owner: owners[f"{owner}_id"] for owner in above
    }
    for owner in above:
        assert await percents(connection, **{f"{owner}_id": owners[f"{owner}_id"]}) == [50]


async def test_an_override_raises_what_is_a_percent_while_it_lasts(
    connection: Connection, make: Factory, now: datetime
) -> None:
    granted = {
        "override_mode": "cycles",
        "override_amount_nanousd": LIMIT,
        "override_cycles_total": 2,
        "override_anchor_reset": now,
    }
    budget = await make.budget(customer_id=await make.customer(), max_limit_nanousd=LIMIT, anchored_at=now, **granted)
    for days in range(3):
        await spend(connection, budget, 1000, at=now + timedelta(days=days))
    by_day = {
        (alert.window_start - now).days: alert for alert in await fired(connection) if alert.threshold_percent == 50
    }
    assert await percents(connection) == [50, 50, 50, 80, 100]
    assert [digits(by_day[day].max_limit) for day in range(3)] == ["0.000002", "0.000002", "0.000001"]


_DURATIONS = ("1h", "1d", "3d", "1w", "1M", "3M", "1Q", "1Y", "monthly", "quarterly")
_ZONES = ("UTC", "Europe/Berlin", "America/Santiago", "Pacific/Apia")


async def test_sql_and_python_count_the_same_windows_of_an_override(connection: Connection) -> None:
    random = Random(20261125)
    for _ in range(800):
        duration = random.choice(_DURATIONS)
        rule = ResetRule(
            duration=parse_reset_duration(duration),
            anchored_us=to_us(_instant(random)),
            calendar_aligned=random.random() < 0.7,
            time_zone=random.choice(_ZONES),
            quarter_start_month=random.randint(1, 12),
        )
        earlier, later = _instant(random), _instant(random)
        passed = await connection.fetchval(
            "SELECT windows_since($1, $2, $3, $4, $5, $6, $7)",
            *(duration, from_us(rule.anchored_us), rule.calendar_aligned, rule.time_zone, rule.quarter_start_month),
            *(earlier, later),
        )
        assert passed == windows_since(rule, earlier, later), (duration, rule, earlier, later)


async def test_sql_and_python_agree_on_what_may_be_spent(connection: Connection, make: Factory) -> None:
    random = Random(7)
    owners = await _calendars(make)
    for number in range(60):
        column, owner, aligned, zone = random.choice(owners)
        anchor, cycles, at = _instant(random), random.randint(1, 4), _instant(random)
        override: dict[str, Any] = {
            "override_mode": "cycles",
            "override_amount_nanousd": 5,
            "override_cycles_total": cycles,
            "override_anchor_reset": anchor,
        }
        # Near the end of the override.
        at = anchor + timedelta(days=random.randint(0, 40)) if random.random() < 0.8 else at
        duration = random.choice(("1d", "1w", "1M"))
        budget = await make.budget(
            id=f"b{number}", max_limit_nanousd=10, reset_duration=duration, **override, **{column: owner}
        )
        anchored_at = await connection.fetchval("SELECT anchored_at FROM budgets WHERE id = $1", budget)
        rule = ResetRule(parse_reset_duration(duration), to_us(anchored_at), calendar_aligned=aligned, time_zone=zone)
        expected = 15 if windows_since(rule, anchor, at) < cycles else 10
        found = await connection.fetchval(
            "SELECT budget_limit_at(budgets, $2) FROM budgets WHERE id = $1", budget, window_at(rule, at).start
        )
        assert found == expected, (rule, anchor, cycles, at)


async def _calendars(make: Factory) -> list[tuple[str, Any, bool, str]]:
    """Owners of every kind, each with a calendar of its own; a provider config follows its virtual key's."""
    customer = await make.customer(calendar_aligned=True, time_zone="Asia/Tokyo")
    team = await make.team(customer_id=customer, calendar_aligned=True, time_zone="America/New_York")
    key = await make.virtual_key(team_id=team, calendar_aligned=True, time_zone="Europe/Berlin")
    config = await make.provider_config(virtual_key_id=key)
    model = await make.model_config(virtual_key_id=key)
    return [
        ("customer_id", customer, True, "Asia/Tokyo"),
        ("team_id", team, True, "America/New_York"),
        ("virtual_key_id", key, True, "Europe/Berlin"),
        ("provider_config_id", config, True, "Europe/Berlin"),
        ("model_config_id", model, False, "UTC"),
    ]


def _instant(random: Random) -> datetime:
    return datetime(2015, 1, 1, tzinfo=UTC) + timedelta(microseconds=random.randrange(15 * 365 * 86_400 * 1_000_000))
