"""What the schema refuses to store about limits, keys and the audit log, whoever writes it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from service.store.postgres import Connection
from tests.factories import Factory
from tests.store.planted_tree import OWNER_COLUMNS, plant_tree

Columns = dict[str, Any]
OVERRIDE = {"override_mode": "cycles", "override_amount_nanousd": 1, "override_cycles_total": 1}
ANCHOR = {"override_anchor_reset": datetime(2025, 6, 15, tzinfo=UTC)}
NO_TOKENS = {"token_max_limit": None, "token_reset_duration": None}
NO_REQUESTS = {"request_max_limit": None, "request_reset_duration": None}


@pytest.fixture
async def team(make_undone: Factory) -> str:
    return await make_undone.team()


@pytest.fixture
async def owners(make_undone: Factory) -> dict[str, str | int]:
    return await plant_tree(make_undone, "a")


@asynccontextmanager
async def refused_by(connection: Connection, constraint: str) -> AsyncIterator[None]:
    """The body violates this constraint, and no other; the transaction goes on."""
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as caught:
        async with connection.transaction():
            yield
    assert caught.value.constraint_name == constraint


@pytest.mark.parametrize("columns", [(), OWNER_COLUMNS[:2], OWNER_COLUMNS[1::2], OWNER_COLUMNS])
async def test_a_limit_has_exactly_one_owner(
    undone: Connection, make_undone: Factory, owners: Columns, columns: tuple[str, ...]
) -> None:
    await undone.execute("DELETE FROM rate_limits")
    of_them = {column: owners[column] for column in columns}
    async with refused_by(undone, "budgets_one_owner"):
        await make_undone.budget(**of_them)
    async with refused_by(undone, "rate_limits_one_owner"):
        await make_undone.rate_limit(**of_them)


@pytest.mark.parametrize("column", OWNER_COLUMNS[:4])
async def test_an_owner_may_have_many_budgets_but_one_rate_limit(
    undone: Connection, make_undone: Factory, owners: Columns, column: str
) -> None:
    await make_undone.budget(**{column: owners[column]})
    async with refused_by(undone, f"rate_limits_{column}_key"):
        await make_undone.rate_limit(**{column: owners[column]})


async def test_a_model_config_may_have_many_rate_limits(make_undone: Factory, owners: Columns) -> None:
    for metric, unset in (("tokens", NO_REQUESTS), ("requests", NO_TOKENS)):
        await make_undone.rate_limit(model_config_id="a-model_configs", metric=metric, **unset)


@pytest.mark.parametrize(
    "columns",
    [
        {"max_limit_nanousd": 1},
        {"max_limit_nanousd": 9 * 10**18},
        {"reset_duration": "quarterly", "quarter_start_month": 12},
        {"reset_duration": "2Q", "quarter_start_month": 1},
        {"reset_duration": "1Q"},
        OVERRIDE | ANCHOR,
        {"override_mode": "forever", "override_amount_nanousd": 9 * 10**18},
        {"alert_thresholds": []},
        {"alert_thresholds": [1000, 1, *range(50, 58)]},
    ],
)
async def test_a_sound_budget_is_stored(make_undone: Factory, team: str, columns: Columns) -> None:
    await make_undone.budget(team_id=team, **columns)


@pytest.mark.parametrize(
    ("constraint", "columns"),
    [
        ("budgets_max_limit_nanousd_check", {"max_limit_nanousd": 0}),
        ("budgets_max_limit_nanousd_check", {"max_limit_nanousd": -1}),
        ("budgets_max_limit_nanousd_check", {"max_limit_nanousd": 9 * 10**18 + 1}),
        ("reset_duration_check", {"reset_duration": "1S"}),
        ("reset_duration_check", {"reset_duration": "0d"}),
        ("reset_duration_check", {"reset_duration": ""}),
        ("budgets_quarter", {"reset_duration": "1M", "quarter_start_month": 4}),
        ("budgets_quarter_start_month_check", {"reset_duration": "1Q", "quarter_start_month": 0}),
        ("budgets_quarter_start_month_check", {"reset_duration": "1Q", "quarter_start_month": 13}),
        ("budgets_epoch_check", {"epoch": 0}),
        ("budgets_override", OVERRIDE),
        ("budgets_override", {"override_amount_nanousd": 1}),
        ("budgets_override", {"override_mode": "forever"}),
        ("budgets_override", ANCHOR),
        ("budgets_override", OVERRIDE | {"override_mode": "forever"}),
        ("budgets_alert_thresholds", {"alert_thresholds": [0]}),
        ("budgets_alert_thresholds", {"alert_thresholds": [1001]}),
        ("budgets_alert_thresholds", {"alert_thresholds": [50, None]}),
        ("budgets_alert_thresholds", {"alert_thresholds": [50, 50]}),
        ("budgets_alert_thresholds", {"alert_thresholds": [[50], [60]]}),
        ("budgets_alert_thresholds", {"alert_thresholds": list(range(1, 12))}),
        ("budgets_override_mode_check", {"override_mode": "once"}),
        ("budgets_override_amount_nanousd_check", {"override_mode": "forever", "override_amount_nanousd": 0}),
    ],
)
async def test_an_unsound_budget_is_refused(
    undone: Connection, make_undone: Factory, team: str, constraint: str, columns: Columns
) -> None:
    async with refused_by(undone, constraint):
        await make_undone.budget(team_id=team, **columns)


async def test_a_limit_without_a_duration_or_amount_is_refused(make_undone: Factory, team: str) -> None:
    with pytest.raises(asyncpg.NotNullViolationError):
        await make_undone.budget(team_id=team, reset_duration=None)


@pytest.mark.parametrize(
    ("constraint", "columns"),
    [
        ("rate_limits_some_limit", NO_TOKENS | NO_REQUESTS),
        ("rate_limits_token_pair", {"token_reset_duration": None}),
        ("rate_limits_token_pair", {"token_max_limit": None}),
        ("rate_limits_request_pair", {"request_reset_duration": None}),
        ("rate_limits_request_pair", {"request_max_limit": None}),
        ("rate_limits_token_max_limit_check", {"token_max_limit": 0}),
        ("rate_limits_token_max_limit_check", {"token_max_limit": 2**53}),
        ("rate_limits_request_max_limit_check", {"request_max_limit": -1}),
        ("rate_limits_request_max_limit_check", {"request_max_limit": 2**53}),
        ("rate_limits_no_quarters", {"token_reset_duration": "1Q"}),
        ("rate_limits_no_quarters", {"request_reset_duration": "quarterly"}),
        ("reset_duration_check", {"token_reset_duration": "999ms"}),
        ("rate_limits_metric_check", {"metric": "dollars"}),
        ("rate_limits_metric", {"metric": "tokens"}),
        ("rate_limits_metric", {"metric": "requests"}),
        ("rate_limits_token_epoch_check", {"token_epoch": 0}),
        ("rate_limits_request_epoch_check", {"request_epoch": 0}),
    ],
)
async def test_an_unsound_rate_limit_is_refused(
    undone: Connection, make_undone: Factory, constraint: str, columns: Columns
) -> None:
    of_all = await make_undone.model_config()
    async with refused_by(undone, constraint):
        await make_undone.rate_limit(model_config_id=of_all, **columns)


async def test_a_metric_is_for_the_rules_of_a_model_alone(undone: Connection, make_undone: Factory, team: str) -> None:
    async with refused_by(undone, "rate_limits_metric"):
        await make_undone.rate_limit(team_id=team, metric="tokens", **NO_REQUESTS)


async def test_a_virtual_key_has_a_team_or_a_customer_or_neither(
    undone: Connection, make_undone: Factory, team: str
) -> None:
    customer = await make_undone.customer()
    for owner in ({}, {"team_id": team}, {"customer_id": customer}):
        await make_undone.virtual_key(**owner)
    async with refused_by(undone, "virtual_keys_check"):
        await make_undone.virtual_key(team_id=team, customer_id=customer)


async def test_two_virtual_keys_never_share_a_value_or_a_name(undone: Connection, make_undone: Factory) -> None:
    await make_undone.virtual_key(value="sk-bf-one", name="one")
    async with refused_by(undone, "virtual_keys_value_hash_key"):
        await make_undone.virtual_key(value="sk-bf-one", name="two")
    async with refused_by(undone, "virtual_keys_name_key"):
        await make_undone.virtual_key(value="sk-bf-two", name="one")


async def test_no_more_than_zero_parallel_requests_is_no_limit(undone: Connection, make_undone: Factory) -> None:
    for add, table in ((make_undone.customer, "customers"), (make_undone.team, "teams")):
        async with refused_by(undone, f"{table}_max_parallel_requests_check"):
            await add(max_parallel_requests=0)
    async with refused_by(undone, "virtual_keys_max_parallel_requests_check"):
        await make_undone.virtual_key(max_parallel_requests=0)


async def test_a_deleted_owner_takes_its_limits_along(undone: Connection, owners: Columns) -> None:
    left = "SELECT (SELECT count(*) FROM budgets) + (SELECT count(*) FROM rate_limits)"
    for table, limits in (("virtual_keys", 4), ("teams", 2), ("customers", 0)):
        await undone.execute(f"DELETE FROM {table}")
        assert await undone.fetchval(left) == limits


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET actor = 'somebody else'",
        "UPDATE audit_log SET changes = '{}' WHERE actor = 'ann'",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
    ],
)
async def test_the_audit_log_is_append_only(undone: Connection, statement: str) -> None:
    await undone.execute(
        "INSERT INTO audit_log (actor, action, entity_type, entity_id) VALUES ('ann', 'delete', 'team', 't')"
    )
    with pytest.raises(asyncpg.RestrictViolationError, match="rows of audit_log are never changed"):
        await undone.execute(statement)
