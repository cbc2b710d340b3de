"""A tree made to be asked about: every virtual key's value is known, and no limit is ever reached.

Each key has the longest common path of limits: key, team and customer, a budget, tokens and requests each.
"""

from collections.abc import Iterator
from typing import Any, TypeAlias

import msgspec

from service.domain.sealing import Sealer, new_virtual_key_value, sealed_virtual_key
from service.store.postgres import Connection

FULL_PATH = ("virtual_key_id", "team_id", "customer_id")

_LIMIT_NANOUSD = 9_000_000_000_000_000_000
_LIMIT = 9_007_199_254_740_991
# Bounds what one statement's triggers queue.
_KEYS_PER_BATCH = 5000
# None shorter than an hour: all of them are booked in the ledger, not in Redis alone.
_BUDGET_DURATION, _TOKEN_DURATION, _REQUEST_DURATION = "1M", "1d", "1h"

Rows: TypeAlias = list[tuple[Any, ...]]

_COLUMNS = {
    "customers": ("id", "name"),
    "teams": ("id", "name", "customer_id"),
    "virtual_keys": ("id", "name", "team_id", "value_hash", "value_sealed"),
    "virtual_key_provider_configs": ("id", "virtual_key_id", "provider", "allowed_models", "allow_all_keys"),
}
_BUDGET_COLUMNS = ("id", "max_limit_nanousd", "reset_duration")
_RATE_LIMIT_COLUMNS = (
    *("id", "token_max_limit", "token_reset_duration"),
    *("request_max_limit", "request_reset_duration"),
)


class Fleet(msgspec.Struct, frozen=True):
    """`teams` per customer, `keys` per team; `limited` are the owners with limits. Another `copy` is another fleet."""

    customers: int
    teams: int
    keys: int
    limited: tuple[str, ...] = FULL_PATH
    copy: int = 0

    @property
    def name(self) -> str:
        return f"fleet_{self.customers}_{self.teams}_{self.keys}_{len(self.limited)}_{self.copy}"

    @property
    def virtual_keys(self) -> int:
        return self.customers * self.teams * self.keys


async def plant(connection: Connection, fleet: Fleet, sealer: Sealer) -> list[str]:
    """Write the fleet into an empty, migrated database; answers the value of every virtual key."""
    values = [new_virtual_key_value() for _ in range(fleet.virtual_keys)]
    per_customer = fleet.teams * fleet.keys
    customers_per_batch = max(1, _KEYS_PER_BATCH // per_customer)
    async with connection.transaction():
        for first in range(0, fleet.customers, customers_per_batch):
            numbers = range(first, min(first + customers_per_batch, fleet.customers))
            await _write(connection, _rows(fleet, numbers, values, sealer))
    # Statistics of the emptied tables would have the planner read 100 000 rows for one.
    await connection.execute("ANALYZE")
    return values


def _rows(fleet: Fleet, numbers: range, values: list[str], sealer: Sealer) -> dict[str, Rows]:
    rows: dict[str, Rows] = {table: [] for table in _COLUMNS}
    for customer in numbers:
        customer_id = f"customer-{customer:06}"
        rows["customers"].append((customer_id, customer_id))
        for team in range(fleet.teams):
            team_id = f"{customer_id}-team-{team:03}"
            rows["teams"].append((team_id, team_id, customer_id))
            for key in range(fleet.keys):
                number = (customer * fleet.teams + team) * fleet.keys + key
                key_id = f"{team_id}-key-{key:04}"
                value = values[number]
                sealed = sealer.seal(value, belongs_to=sealed_virtual_key(key_id))
                rows["virtual_keys"].append((key_id, key_id, team_id, sealer.hash_virtual_key(value), sealed))
                rows["virtual_key_provider_configs"].append((number + 1, key_id, "openai", ["*"], True))
    return rows | dict(_limits(fleet, rows))


_OWNERS = {
    "customer_id": "customers",
    "team_id": "teams",
    "virtual_key_id": "virtual_keys",
    "provider_config_id": "virtual_key_provider_configs",
}


def _limits(fleet: Fleet, rows: dict[str, Rows]) -> Iterator[tuple[str, Rows]]:
    for column in fleet.limited:
        ids = [row[0] for row in rows[_OWNERS[column]]]
        yield f"budgets {column}", [(f"{i}-budget-{column}", _LIMIT_NANOUSD, _BUDGET_DURATION, i) for i in ids]
        yield (
            f"rate_limits {column}",
            [(f"{i}-rates-{column}", _LIMIT, _TOKEN_DURATION, _LIMIT, _REQUEST_DURATION, i) for i in ids],
        )


async def _write(connection: Connection, rows: dict[str, Rows]) -> None:
    for name, records in rows.items():
        table, _, owner = name.partition(" ")
        own = _BUDGET_COLUMNS if table == "budgets" else _RATE_LIMIT_COLUMNS
        columns = _COLUMNS.get(table) or (*own, owner)
        await connection.copy_records_to_table(table, columns=columns, records=records)
