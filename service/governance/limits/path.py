"""Every limit on the path of an entity, one for each number that is held against one."""

from collections.abc import Iterator
from datetime import datetime
from itertools import chain

import msgspec

from service.domain.limit_reports import LimitLevel, LimitOwner
from service.domain.meters import (
    Meter,
    MeterKind,
    budget_meter_id,
    parallel_meter_id,
    requests_meter_id,
    tokens_meter_id,
)
from service.domain.windows import Window, window_at
from service.governance.tree.limits import cycles_remaining, reset_rule
from service.store.limit_paths import EntityPath
from service.store.trees import Row, TreeRows

_EVERY_MODEL = "*"
_EVERYONE = EntityPath()


class Raise(msgspec.Struct, frozen=True):
    """An override that is in force; the cycles are None when it is for ever."""

    mode: str
    amount_nanousd: int
    cycles_total: int | None
    cycles_remaining: int | None


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Whose limits: `column` names it in their rows, `charged_by` is who makes the events they are charged by."""

    level: LimitLevel
    column: str
    row: Row
    calendar: Row
    name: str
    charged_by: EntityPath

    @property
    def owner(self) -> LimitOwner:
        return LimitOwner(type=self.column.removesuffix("_id"), id=str(self.row["id"]), name=self.name)


class WindowNow(msgspec.Struct, frozen=True):
    """The window a meter counts in at one moment."""

    meter: Meter
    reset_duration: str
    window: Window


class LimitNow(msgspec.Struct, frozen=True, kw_only=True):
    """A limit at one moment, in its unit: nano-dollars, tokens, requests or calls. Parallel calls have no window."""

    holder: Holder
    kind: MeterKind
    id: str
    meter_id: str
    max_limit: int
    shadow: bool = False
    current: WindowNow | None = None
    override: Raise | None = None

    @property
    def tenant_id(self) -> str:
        tenant_id: str = self.holder.row["tenant_id"]
        return tenant_id

    @property
    def max(self) -> int:
        return self.max_limit + (self.override.amount_nanousd if self.override else 0)


def limits_on_path(rows: TreeRows, now: datetime) -> list[LimitNow]:
    """A virtual key's own first, then those of its configs, its team, its customer and the whole deployment."""
    return [limit for holder in _holders(rows) for limit in _limits(rows, holder, now)]


def _holders(rows: TreeRows) -> Iterator[Holder]:
    for key in chain.from_iterable(rows.virtual_keys.values()):
        yield from _key_holders(rows, key)
    for row in chain.from_iterable(rows.teams.values()):
        yield _owner(row, "team", EntityPath(team_id=row["id"]))
    for row in chain.from_iterable(rows.customers.values()):
        yield _owner(row, "customer", EntityPath(customer_id=row["id"]))
    for row in rows.model_configs.get(None, []):
        of_provider = row["model_name"] == _EVERY_MODEL and row["provider"] is not None
        yield _model_holder(row, "provider" if of_provider else "model", _EVERYONE)


def _key_holders(rows: TreeRows, key: Row) -> Iterator[Holder]:
    own = EntityPath(virtual_key_id=key["id"])
    yield _owner(key, "virtual_key", own)
    for row in rows.provider_configs.get(key["id"], []):
        yield Holder(
            level="provider_config",
            column="provider_config_id",
            row=row,
            calendar=key,
            name=row["provider"],
            charged_by=own,
        )
    for row in rows.model_configs.get(key["id"], []):
        yield _model_holder(row, "model_config", own)


def _owner(row: Row, level: LimitLevel, charged_by: EntityPath) -> Holder:
    return Holder(level=level, column=f"{level}_id", row=row, calendar=row, name=row["name"], charged_by=charged_by)


def _model_holder(row: Row, level: LimitLevel, charged_by: EntityPath) -> Holder:
    name = row["provider"] if level == "provider" else row["model_name"]
    return Holder(level=level, column="model_config_id", row=row, calendar=row, name=name, charged_by=charged_by)


def _limits(rows: TreeRows, holder: Holder, now: datetime) -> Iterator[LimitNow]:
    place = (holder.column, holder.row["id"])
    for row in rows.budgets.get(place, []):
        yield _budget(holder, row, now)
    for row in rows.rate_limits.get(place, []):
        for column in ("token", "request"):
            if row[f"{column}_max_limit"] is not None:
                yield _rate_limit(holder, row, column, now)
    if holder.level in ("virtual_key", "team", "customer") and holder.row["max_parallel_requests"] is not None:
        yield LimitNow(
            holder=holder,
            kind="parallel",
            id=holder.row["id"],
            meter_id=parallel_meter_id(holder.level, holder.row["id"]),
            max_limit=holder.row["max_parallel_requests"],
        )


def _budget(holder: Holder, row: Row, now: datetime) -> LimitNow:
    rule = reset_rule(row["reset_duration"], row, holder.calendar)
    meter = Meter(budget_meter_id(row["id"]), row["epoch"], rule)
    return LimitNow(
        holder=holder,
        kind="budget",
        id=row["id"],
        meter_id=meter.id,
        max_limit=row["max_limit_nanousd"],
        shadow=row["shadow"],
        current=WindowNow(meter, row["reset_duration"], window_at(rule, now)),
        override=_override(row, meter, now),
    )


def _rate_limit(holder: Holder, row: Row, column: str, now: datetime) -> LimitNow:
    reset_duration = row[f"{column}_reset_duration"]
    rule = reset_rule(reset_duration, row, holder.calendar)
    make_id = tokens_meter_id if column == "token" else requests_meter_id
    meter = Meter(make_id(row["id"]), row[f"{column}_epoch"], rule)
    return LimitNow(
        holder=holder,
        kind="tokens" if column == "token" else "requests",
        id=row["id"],
        meter_id=meter.id,
        max_limit=row[f"{column}_max_limit"],
        shadow=row["shadow"],
        current=WindowNow(meter, reset_duration, window_at(rule, now)),
    )


def _override(row: Row, meter: Meter, now: datetime) -> Raise | None:
    mode, amount_nanousd = row["override_mode"], row["override_amount_nanousd"]
    if mode is None:
        return None
    if mode == "forever":
        return Raise(mode, amount_nanousd, None, None)
    remaining = cycles_remaining(row, meter.rule, now)
    return Raise(mode, amount_nanousd, row["override_cycles_total"], remaining) if remaining > 0 else None
