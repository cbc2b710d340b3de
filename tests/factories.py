"""Rows for tests: each call inserts one entity with its given columns, and answers its id."""

from datetime import datetime
from itertools import count
from typing import Any

from service.domain.durations import parse_reset_duration
from service.domain.meters import Meter, budget_meter_id, requests_meter_id, tokens_meter_id
from service.domain.sealing import Sealer, new_virtual_key_value, sealed_virtual_key
from service.domain.usage import MeterCharge, UsageEvent
from service.domain.windows import ResetRule, to_us, window_at
from service.store.postgres import Connection


class Factory:
    """`await make.customer(name="Acme")`; ids and names are made up when not given."""

    def __init__(self, connection: Connection, sealer: Sealer) -> None:
        self._connection = connection
        self._sealer = sealer
        self._numbers = count(1)

    async def customer(self, **columns: Any) -> str:
        return await self._named("customers", columns)

    async def team(self, **columns: Any) -> str:
        return await self._named("teams", columns)

    async def virtual_key(self, *, value: str | None = None, **columns: Any) -> str:
        columns = {"id": f"virtual_key-{next(self._numbers)}"} | columns
        value = value or new_virtual_key_value()
        sealed = self._sealer.seal(value, belongs_to=sealed_virtual_key(columns["id"]))
        secrets = {"value_hash": self._sealer.hash_virtual_key(value), "value_sealed": sealed}
        return await self._named("virtual_keys", columns | secrets)

    async def budget(self, **columns: Any) -> str:
        """`max_limit_nanousd` 10 USD and `reset_duration` 1d unless given; name the owner's column."""
        defaults = {"max_limit_nanousd": 10_000_000_000, "reset_duration": "1d"}
        return str(await self._insert("budgets", defaults | columns))

    async def rate_limit(self, **columns: Any) -> str:
        """Tokens 1000 per 1h and requests 60 per 1m unless given; name the owner's column."""
        defaults = {
            "token_max_limit": 1000,
            "token_reset_duration": "1h",
            "request_max_limit": 60,
            "request_reset_duration": "1m",
        }
        return str(await self._insert("rate_limits", defaults | columns))

    async def provider_config(self, **columns: Any) -> int:
        defaults = {"provider": "openai", "allowed_models": ["*"], "allow_all_keys": True}
        return int(await self._insert("virtual_key_provider_configs", defaults | columns, id=None))

    async def provider_key(self, **columns: Any) -> str:
        return await self._named("provider_keys", {"provider": "openai", "value": "env.OPENAI_API_KEY"} | columns)

    async def pin(self, provider_config_id: int, provider_key_id: str) -> None:
        await self._connection.execute(
            "INSERT INTO virtual_key_provider_config_keys (provider_config_id, provider_key_id) VALUES ($1, $2)",
            provider_config_id,
            provider_key_id,
        )

    async def mcp_client(self, **columns: Any) -> int:
        defaults = {"name": f"mcp client {next(self._numbers)}"}
        return int(await self._insert("mcp_clients", defaults | columns, id=None))

    async def mcp_config(self, **columns: Any) -> int:
        return int(await self._insert("virtual_key_mcp_configs", {"tools_to_execute": ["*"]} | columns, id=None))

    async def model_config(self, **columns: Any) -> str:
        """Of the whole deployment unless `virtual_key_id` is given."""
        return str(await self._insert("model_configs", {"model_name": "gpt-4o"} | columns))

    async def _named(self, table: str, columns: dict[str, Any]) -> str:
        return str(await self._insert(table, {"name": f"{table} {next(self._numbers)}"} | columns))

    async def _insert(self, table: str, columns: dict[str, Any], **database_made: None) -> Any:
        if "id" not in columns and "id" not in database_made:
            columns = {"id": f"{table}-{next(self._numbers)}"} | columns
        names = ", ".join(columns)
        places = ", ".join(f"${place}" for place in range(1, len(columns) + 1))
        return await self._connection.fetchval(
            f"INSERT INTO {table} ({names}) VALUES ({places}) RETURNING id", *columns.values()
        )


async def meter_of_budget(connection: Connection, budget_id: str) -> tuple[str, Meter]:
    """The tenant and meter of a rolling budget."""
    row = await connection.fetchrow("SELECT * FROM budgets WHERE id = $1", budget_id)
    assert row is not None
    rule = ResetRule(parse_reset_duration(row["reset_duration"]), to_us(row["anchored_at"]))
    return row["tenant_id"], Meter(budget_meter_id(budget_id), row["epoch"], rule)


async def meter_of_rate_limit(connection: Connection, rate_limit_id: str, metric: str) -> tuple[str, Meter]:
    """The tenant and meter of a rolling rate limit's `token` or `request` side."""
    row = await connection.fetchrow("SELECT * FROM rate_limits WHERE id = $1", rate_limit_id)
    assert row is not None
    rule = ResetRule(parse_reset_duration(row[f"{metric}_reset_duration"]), to_us(row["anchored_at"]))
    make_id = tokens_meter_id if metric == "token" else requests_meter_id
    return row["tenant_id"], Meter(make_id(rate_limit_id), row[f"{metric}_epoch"], rule)


def usage_event(request_id: str, *amounts: tuple[str, Meter, int], at: datetime, **fields: Any) -> UsageEvent:
    """A request that charged each `(tenant_id, meter, amount)` in its window at `at`."""
    charges = tuple(
        MeterCharge(meter.id, meter.epoch, to_us(window_at(meter.rule, at).start), amount)
        for tenant_id, meter, amount in amounts
    )
    defaults: dict[str, Any] = {
        "fingerprint": request_id.encode(),
        "tenant_id": amounts[0][0] if amounts else "customer:none",
        "virtual_key_id": "virtual_key-of-a-test",
        "occurred_at": at,
    }
    return UsageEvent(request_id=request_id, charges=charges, **(defaults | fields))
