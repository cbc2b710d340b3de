"""Budgets and rate limits of one owner: what is there, and how it is written."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec

from service.store.postgres import Connection
from service.store.queries import queries
from service.store.trees import Row

OwnerColumn = Literal["customer_id", "team_id", "virtual_key_id", "provider_config_id", "model_config_id"]
_NOBODY: dict[str, None] = dict.fromkeys(
    ("customer_id", "team_id", "virtual_key_id", "provider_config_id", "model_config_id")
)


class LimitOwner(msgspec.Struct, frozen=True):
    """Whose limits: the owner column, and the id in it."""

    column: OwnerColumn
    id: str | int

    def columns(self) -> dict[str, Any]:
        return {**_NOBODY, self.column: self.id}


class BudgetColumns(msgspec.Struct, frozen=True, kw_only=True):
    """What of a budget is written."""

    position: int
    max_limit_nanousd: int
    reset_duration: str
    quarter_start_month: int | None
    alert_thresholds: list[int]
    shadow: bool


class StoredBudget(BudgetColumns, frozen=True, kw_only=True):
    id: str


class RateLimitColumns(msgspec.Struct, frozen=True, kw_only=True):
    """What of a rate limit is written."""

    token_max_limit: int | None = None
    token_reset_duration: str | None = None
    request_max_limit: int | None = None
    request_reset_duration: str | None = None
    shadow: bool = False


class StoredRateLimit(RateLimitColumns, frozen=True, kw_only=True):
    """`metric` is set for a model config's rules of one metric."""

    id: str
    metric: str | None


class CarriedUsage(msgspec.Struct, frozen=True):
    """What a meter had used when its epoch ended, and the window of the new epoch it counts in."""

    meter_id: str
    epoch: int
    window_start: datetime
    used: int


async def list_owner_budgets(connection: Connection, owner: LimitOwner) -> list[StoredBudget]:
    """In the order they are shown in; locked."""
    rows = queries.list_owner_budgets(connection, **owner.columns())
    return [msgspec.convert(dict(row), StoredBudget) async for row in rows]


async def list_owner_rate_limits(connection: Connection, owner: LimitOwner) -> list[StoredRateLimit]:
    """Oldest first; locked."""
    rows = queries.list_owner_rate_limits(connection, **owner.columns())
    return [msgspec.convert(dict(row), StoredRateLimit) async for row in rows]


async def insert_budget(
    connection: Connection, owner: LimitOwner, budget: BudgetColumns, *, budget_id: str, now: datetime
) -> None:
    columns = msgspec.structs.asdict(budget)
    await queries.insert_budget(connection, budget_id=budget_id, created_at=now, **owner.columns(), **columns)


async def update_budget(connection: Connection, budget_id: str, budget: BudgetColumns) -> None:
    await queries.update_budget(connection, budget_id=budget_id, **msgspec.structs.asdict(budget))


async def delete_budgets(connection: Connection, budget_ids: Sequence[str]) -> None:
    if budget_ids:
        await queries.delete_budgets(connection, budget_ids=budget_ids)


async def start_budget_epochs(connection: Connection, budget_ids: Sequence[str]) -> None:
    """Count anew from zero; the windows stay where they are."""
    if budget_ids:
        await queries.start_budget_epochs(connection, budget_ids=budget_ids)


async def insert_rate_limit(
    connection: Connection,
    owner: LimitOwner,
    rate_limit: RateLimitColumns,
    *,
    rate_limit_id: str,
    metric: str | None = None,
    now: datetime,
) -> None:
    columns = {**owner.columns(), **msgspec.structs.asdict(rate_limit)}
    await queries.insert_rate_limit(connection, rate_limit_id=rate_limit_id, metric=metric, created_at=now, **columns)


async def update_rate_limit(connection: Connection, rate_limit_id: str, rate_limit: RateLimitColumns) -> None:
    columns = msgspec.structs.asdict(rate_limit)
    await queries.update_rate_limit(connection, rate_limit_id=rate_limit_id, **columns)


async def delete_rate_limits(connection: Connection, rate_limit_ids: Sequence[str]) -> None:
    if rate_limit_ids:
        await queries.delete_rate_limits(connection, rate_limit_ids=rate_limit_ids)


async def carry_usage(connection: Connection, carried: Sequence[CarriedUsage]) -> None:
    """Add to the totals of these windows what was used before their meters' periods changed."""
    if not carried:
        return
    await queries.carry_usage(
        connection,
        meter_ids=[usage.meter_id for usage in carried],
        epochs=[usage.epoch for usage in carried],
        window_starts=[usage.window_start for usage in carried],
        used=[usage.used for usage in carried],
    )


async def list_budget_ids(connection: Connection, after: str, *, limit: int) -> list[str]:
    """Of all budgets, from the one after `after`; the empty text is before all."""
    return [row["id"] async for row in queries.list_budget_ids(connection, after=after, page_limit=limit)]


async def list_rate_limit_ids(connection: Connection, after: str, *, limit: int) -> list[str]:
    """As `list_budget_ids`."""
    return [row["id"] async for row in queries.list_rate_limit_ids(connection, after=after, page_limit=limit)]


async def load_aligned_budgets(connection: Connection, budget_ids: Sequence[str]) -> dict[str, Row]:
    """By id, as they are shown, with the `calendar_aligned` and `time_zone` they follow."""
    return {row["id"]: row async for row in queries.list_aligned_budgets(connection, budget_ids=budget_ids)}


async def load_aligned_rate_limits(connection: Connection, rate_limit_ids: Sequence[str]) -> dict[str, Row]:
    """As `load_aligned_budgets`."""
    rows = queries.list_aligned_rate_limits(connection, rate_limit_ids=rate_limit_ids)
    return {row["id"]: row async for row in rows}
