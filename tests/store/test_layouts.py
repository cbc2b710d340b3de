"""Meters move with their limits: totals are found in the tenant the limit is in now, and layouts tell of the move."""

from datetime import UTC, datetime

import msgspec
import pytest

from service.domain.meters import Meter, Tenant
from service.store.ledger import list_windows, load_meter_states, record_usage
from service.store.postgres import Connection
from tests.factories import Factory, meter_of_budget, meter_of_rate_limit, usage_event
from tests.store.planted_tree import plant_tree
from tests.store.racing import open_beside

A, B = "customer:a-customer", "customer:b-customer"
MOVE_TEAM = "UPDATE teams SET customer_id = 'b-customer' WHERE id = 'a-team'"
NOW = datetime(2025, 6, 15, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
async def tree(make: Factory) -> None:
    await plant_tree(make, "a")
    await make.customer(id="b-customer")


async def layouts(connection: Connection) -> dict[str, int]:
    return {row["id"]: row["layout"] for row in await connection.fetch("SELECT id, layout FROM tenants")}


async def changed_by(connection: Connection, statement: str) -> set[str]:
    """Tenants whose layout the statement changed; what came or went is not counted."""
    before = await layouts(connection)
    await connection.execute(statement)
    after = await layouts(connection)
    return {tenant_id for tenant_id in before.keys() & after.keys() if before[tenant_id] != after[tenant_id]}


async def charge_everything(connection: Connection, request_id: str) -> None:
    """One request, charged to all limits of the team and of the virtual key."""
    columns = ("team_id", "virtual_key_id", "provider_config_id", "model_config_id")
    owned = [await meter_of_budget(connection, f"a-budgets-{column}") for column in columns]
    owned += [
        await meter_of_rate_limit(connection, f"a-rate_limits-{column}", metric)
        for column in columns
        for metric in ("token", "request")
    ]
    await record_usage(connection, [usage_event(request_id, *((*each, 5) for each in owned), at=NOW)])


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE budgets SET max_limit_nanousd = 1, reset_duration = '1w'",
        "INSERT INTO budgets (id, team_id, max_limit_nanousd, reset_duration) VALUES ('new', 'a-team', 1, '1d')",
        "UPDATE teams SET calendar_aligned = true",
    ],
)
async def test_a_change_in_place_leaves_layouts_alone(connection: Connection, statement: str) -> None:
    assert await changed_by(connection, statement) == set()


@pytest.mark.parametrize("limits", ["budgets", "rate_limits"])
async def test_a_deleted_limit_takes_its_counters_out_of_sight(connection: Connection, limits: str) -> None:
    """One made again under its id is not the same, though it counts from the first epoch, too."""
    assert await changed_by(connection, f"DELETE FROM {limits} WHERE team_id = 'a-team'") == {A}


async def test_a_move_of_meters_changes_both_layouts_and_no_others(connection: Connection, make: Factory) -> None:
    await make.budget(customer_id="b-customer")
    await make.customer(id="c-customer")
    assert await changed_by(connection, MOVE_TEAM) == {A, B}
    assert await changed_by(connection, "UPDATE virtual_keys SET team_id = NULL WHERE id = 'a-key'") == {B}


async def test_a_deleted_limit_changes_the_layout_it_leaves(connection: Connection) -> None:
    assert await changed_by(connection, "DELETE FROM budgets WHERE id = 'a-budgets-team_id'") == {A}
    assert await changed_by(connection, "DELETE FROM rate_limits WHERE id = 'a-rate_limits-team_id'") == {A}


async def test_a_limit_made_again_under_its_id_starts_at_zero(connection: Connection, make: Factory) -> None:
    await connection.execute("UPDATE teams SET calendar_aligned = true")
    for number in range(2):
        await make.budget(id="again", team_id="a-team")
        tenant_id, meter = await meter_of_budget(connection, "again")
        aligned = Meter(meter.id, meter.epoch, msgspec.structs.replace(meter.rule, calendar_aligned=True))
        assert (await load_meter_states(connection, [aligned], now=NOW))[meter.id].used == 0
        await record_usage(connection, [usage_event(f"r{number}", (tenant_id, aligned, 5), at=NOW)])
        await connection.execute("DELETE FROM budgets WHERE id = 'again'")


async def test_a_layout_never_comes_back(connection: Connection) -> None:
    seen: list[int] = []
    for customer in ("b", "a", "b", "a"):
        await connection.execute(MOVE_TEAM.replace("b-customer", f"{customer}-customer"))
        seen += (await layouts(connection)).values()
    assert len(set(seen) - {(await layouts(connection))["global"]}) == 8


async def test_totals_follow_their_limits_to_another_tenant(connection: Connection) -> None:
    await charge_everything(connection, "r1")
    await connection.execute(MOVE_TEAM)
    moved_to = Tenant(B, (await layouts(connection))[B])
    windows = await list_windows(connection, None, limit=100)
    assert len(windows) == 12
    assert {window.tenant for window in windows} == {moved_to}


async def test_totals_follow_a_virtual_key_out_of_a_deleted_team(connection: Connection) -> None:
    await charge_everything(connection, "r1")
    await connection.execute("DELETE FROM teams WHERE id = 'a-team'")
    windows = await list_windows(connection, None, limit=100)
    of_key = [window for window in windows if not window.meter_id.endswith("team_id")]
    assert len(of_key) == 9
    assert {window.tenant.id for window in of_key} == {"virtual_key:a-key"}


async def test_usage_admitted_before_a_move_counts_where_the_meter_is_now(connection: Connection) -> None:
    tenant_id, meter = await meter_of_budget(connection, "a-budgets-team_id")
    admitted = [usage_event(f"r{number}", (tenant_id, meter, 5), at=NOW) for number in range(2)]
    await connection.execute(MOVE_TEAM)
    for used, event in enumerate(admitted, start=1):
        recorded = await record_usage(connection, [event])
        moved_to = Tenant(B, (await layouts(connection))[B])
        assert [(window.tenant, window.used) for window in recorded.windows] == [(moved_to, 5 * used)]


async def test_usage_recorded_while_its_meter_moves_is_found_where_the_meter_is(
    connection: Connection, other_connection: Connection
) -> None:
    owned = await meter_of_budget(connection, "a-budgets-team_id")
    async with open_beside(connection, lambda: other_connection.execute(MOVE_TEAM)):
        await record_usage(connection, [usage_event("r1", (*owned, 5), at=NOW)])
    assert [window.tenant.id for window in await list_windows(connection, None, limit=100)] == [B]


async def test_usage_of_a_limit_that_was_deleted_is_history_alone(connection: Connection) -> None:
    owned = await meter_of_budget(connection, "a-budgets-team_id")
    await connection.execute("DELETE FROM budgets WHERE id = 'a-budgets-team_id'")
    recorded = await record_usage(connection, [usage_event("r1", (*owned, 5), at=NOW)])
    assert (recorded.fresh_request_ids, recorded.windows) == (frozenset({"r1"}), ())
    assert await connection.fetchval("SELECT used FROM meter_windows") == 5
    assert await list_windows(connection, None, limit=100) == []
