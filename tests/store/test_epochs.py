"""Epochs: a meter whose period changes begins a new one, so that two lattices are never compared."""

from functools import partial
from typing import Any

import pytest

from service.store.postgres import Connection
from tests.factories import Factory
from tests.store.planted_tree import OWNER_COLUMNS, plant_tree
from tests.store.racing import open_beside

Epochs = dict[str, int]


async def epochs(connection: Connection) -> Epochs:
    """The epoch of every meter, by `<label>-budget-<owner column>`, and so for tokens and requests."""
    found = {
        row["id"].replace("-budgets-", "-budget-"): row["epoch"]
        for row in await connection.fetch("SELECT id, epoch FROM budgets")
    }
    for row in await connection.fetch("SELECT id, token_epoch, request_epoch FROM rate_limits"):
        for metric in ("token", "request"):
            found[row["id"].replace("-rate_limits-", f"-{metric}-")] = row[f"{metric}_epoch"]
    return found


async def begun_by(connection: Connection, statement: str) -> set[str]:
    """The meters that stand in their next epoch after the statement."""
    before = await epochs(connection)
    await connection.execute(statement)
    after = await epochs(connection)
    assert all(after[meter] - before[meter] in (0, 1) for meter in before)
    return {meter for meter in before if after[meter] != before[meter]}


def meters_of(*columns: str) -> set[str]:
    return {f"a-{kind}-{column}" for kind in ("budget", "token", "request") for column in columns}


async def plant_team(make: Factory, label: str) -> None:
    team = await make.team(id=f"{label}-team")
    await make.budget(id=f"{label}-budgets-team_id", team_id=team)
    await make.rate_limit(id=f"{label}-rate_limits-team_id", team_id=team)


@pytest.fixture
async def teams(make_undone: Factory) -> None:
    for label in ("a", "b"):
        await plant_team(make_undone, label)


@pytest.fixture
async def trees(make_undone: Factory) -> None:
    """A full tree, and a team with limits besides."""
    await plant_tree(make_undone, "a")
    await plant_team(make_undone, "b")


@pytest.mark.usefixtures("teams")
async def test_a_new_limit_stands_in_its_first_epoch(undone: Connection) -> None:
    assert set((await epochs(undone)).values()) == {1}


@pytest.mark.usefixtures("teams")
@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        ("budgets SET reset_duration = '1w'", {"budget"}),
        ("budgets SET reset_duration = '24h'", {"budget"}),
        ("budgets SET reset_duration = '1Q', quarter_start_month = 4", {"budget"}),
        ("budgets SET anchored_at = anchored_at - interval '1 hour'", {"budget"}),
        ("budgets SET epoch = epoch + 1", {"budget"}),
        ("budgets SET epoch = epoch + 1, reset_duration = '1w'", {"budget"}),
        ("budgets SET reset_duration = reset_duration, anchored_at = anchored_at", set()),
        ("budgets SET max_limit_nanousd = 1, position = 3, shadow = true, config_hash = 'x'", set()),
        ("budgets SET override_mode = 'forever', override_amount_nanousd = 1", set()),
        ("rate_limits SET token_reset_duration = '1d'", {"token"}),
        ("rate_limits SET request_reset_duration = '1d'", {"request"}),
        ("rate_limits SET token_max_limit = NULL, token_reset_duration = NULL", {"token"}),
        ("rate_limits SET anchored_at = anchored_at - interval '1 hour'", {"token", "request"}),
        ("rate_limits SET token_epoch = token_epoch + 1", {"token"}),
        ("rate_limits SET token_max_limit = 1, request_max_limit = 1, shadow = true, config_hash = 'x'", set()),
    ],
)
async def test_a_limit_s_epoch_begins_with_a_new_period_and_with_nothing_else(
    undone: Connection, change: str, kinds: set[str]
) -> None:
    expected = {f"a-{kind}-team_id" for kind in kinds}
    assert await begun_by(undone, f"UPDATE {change} WHERE team_id = 'a-team'") == expected


@pytest.mark.usefixtures("teams")
async def test_a_changed_quarter_begins_an_epoch(undone: Connection) -> None:
    await undone.execute("UPDATE budgets SET reset_duration = '1Q'")
    for month in ("4", "5", "NULL"):
        change = f"UPDATE budgets SET quarter_start_month = {month} WHERE team_id = 'a-team'"
        assert await begun_by(undone, change) == {"a-budget-team_id"}


@pytest.mark.usefixtures("teams")
async def test_an_epoch_set_back_together_with_the_period_still_goes_up(undone: Connection) -> None:
    await undone.execute("UPDATE budgets SET epoch = 7")
    change = "UPDATE budgets SET epoch = 1, reset_duration = '1w' WHERE team_id = 'a-team'"
    assert await begun_by(undone, change) == {"a-budget-team_id"}


# A change of one owner, to be completed, and the meters of the limits that follow its calendar.
OWNERS = {
    "UPDATE customers SET {} WHERE id = 'a-customer'": meters_of("customer_id"),
    "UPDATE teams SET {} WHERE id = 'a-team'": meters_of("team_id"),
    "UPDATE virtual_keys SET {} WHERE id = 'a-key'": meters_of("virtual_key_id", "provider_config_id"),
    "UPDATE model_configs SET {} WHERE id = 'a-model_configs'": meters_of("model_config_id"),
}


@pytest.mark.usefixtures("trees")
@pytest.mark.parametrize("change", ["calendar_aligned = NOT calendar_aligned", "time_zone = 'Asia/Kolkata'"])
async def test_an_owner_s_alignment_and_time_zone_begin_epochs_of_its_own_limits(
    undone: Connection, change: str
) -> None:
    for update, meters in OWNERS.items():
        assert await begun_by(undone, update.format(change)) == meters


@pytest.mark.usefixtures("trees")
async def test_other_changes_of_an_owner_leave_its_epochs_alone(undone: Connection) -> None:
    for update in OWNERS:
        change = "config_hash = 'x', calendar_aligned = calendar_aligned, time_zone = time_zone"
        assert await begun_by(undone, update.format(change)) == set()


@pytest.mark.usefixtures("trees")
async def test_a_move_leaves_epochs_alone(undone: Connection) -> None:
    assert await begun_by(undone, "UPDATE teams SET customer_id = NULL WHERE id = 'a-team'") == set()
    assert await begun_by(undone, "UPDATE virtual_keys SET team_id = NULL WHERE id = 'a-key'") == set()


@pytest.mark.usefixtures("teams")
@pytest.mark.parametrize("kind", ["budgets", "rate_limits"])
async def test_a_limit_given_to_an_owner_with_another_calendar_begins_an_epoch(undone: Connection, kind: str) -> None:
    await undone.execute("UPDATE teams SET calendar_aligned = true WHERE id = 'b-team'")
    await undone.execute(f"DELETE FROM {kind} WHERE team_id = 'b-team'")
    meters = {"a-budget-team_id"} if kind == "budgets" else {"a-token-team_id", "a-request-team_id"}
    assert await begun_by(undone, f"UPDATE {kind} SET team_id = 'b-team' WHERE team_id = 'a-team'") == meters


def calendar_change(column: str) -> str:
    """Aligns the owner whose calendar holds for limits of the owner that `column` names."""
    table = {"team_id": "teams", "customer_id": "customers", "model_config_id": "model_configs"}
    return f"UPDATE {table.get(column, 'virtual_keys')} SET calendar_aligned = true"


async def plant_without_limits(connection: Connection, make: Factory) -> dict[str, Any]:
    owners = await plant_tree(make, "a")
    await connection.execute("DELETE FROM budgets")
    await connection.execute("DELETE FROM rate_limits")
    return owners


@pytest.mark.parametrize("column", OWNER_COLUMNS)
async def test_a_limit_made_while_its_calendar_changes_has_one_calendar_per_epoch(
    connection: Connection, make: Factory, make_on_other: Factory, column: str
) -> None:
    owners = await plant_without_limits(connection, make)
    add = partial(make_on_other.budget, id="late", **{column: owners[column]})
    async with open_beside(connection, add) as begin:
        await connection.execute(calendar_change(column))
        was_seen_unaligned = await begin()
    assert await connection.fetchval("SELECT epoch FROM budgets WHERE id = 'late'") == 1 + was_seen_unaligned


@pytest.mark.parametrize("column", OWNER_COLUMNS)
async def test_a_calendar_changed_while_a_limit_is_made_is_the_only_one_of_an_epoch(
    connection: Connection, other_connection: Connection, make: Factory, column: str
) -> None:
    owners = await plant_without_limits(connection, make)
    change = partial(other_connection.execute, calendar_change(column))
    async with open_beside(connection, change) as begin:
        await make.budget(id="late", **{column: owners[column]})
        will_be_seen_unaligned = not await begin()
    assert await connection.fetchval("SELECT epoch FROM budgets WHERE id = 'late'") == 1 + will_be_seen_unaligned
