"""From rows to policies."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from service.domain.meters import Tenant
from service.domain.models import model_list
from service.domain.policy import (
    GlobalPolicy,
    Holder,
    Level,
    Limit,
    LimitKind,
    Limits,
    McpAccess,
    ModelLimits,
    Override,
    Policy,
    ProviderAccess,
)
from service.governance.tree.limits import reset_rule
from service.store.trees import Row, TreeRows


class Owners(msgspec.Struct, frozen=True):
    """Of virtual keys: their team, their customer, and the limits of both."""

    team_id: str | None
    customer_id: str | None
    limits: tuple[Limits, ...]


class TenantOwners(msgspec.Struct, frozen=True):
    """What the virtual keys of a tenant share at one revision of it.

    `owners` are by team and customer; `of_customers`, by customer, the limits that its teams share. Those of one
    holder are one object: what `Texts` keeps of them goes by the object.
    """

    revision: int
    tenant: Tenant
    owners: dict[tuple[str | None, str | None], Owners]
    of_customers: dict[str, Limits]


class SharedOwners:
    """By tenant. Keys are loaded in any order: without it each would bring the limits of its owners along."""

    def __init__(self) -> None:
        self._of_tenant: dict[str, TenantOwners] = {}

    def of(self, tenant_id: str, revision: int, layout: int) -> TenantOwners:
        """Of this revision; those of another one make place."""
        known = self._of_tenant.get(tenant_id)
        if known is None or known.revision != revision:
            known = self._of_tenant[tenant_id] = TenantOwners(revision, Tenant(tenant_id, layout), {}, {})
        return known

    def forget(self, tenant_id: str) -> None:
        self._of_tenant.pop(tenant_id, None)


class PolicyBuilder:
    """Builds the policies of virtual keys whose rows, and whose owners' rows, are loaded."""

    def __init__(self, rows: TreeRows, shared: SharedOwners) -> None:
        self._rows = rows
        self._shared = shared
        self._teams = {row["id"]: row for group in rows.teams.values() for row in group}
        self._customers = {row["id"]: row for group in rows.customers.values() for row in group}

    def policy(self, row: Row) -> Policy:
        """`row` is of find_presented_virtual_keys."""
        tenant_id = row["tenant_id"] or f"virtual_key:{row['id']}"
        of_tenant = self._shared.of(tenant_id, row["revision"] or 0, row["layout"] or 0)
        owners = row["team_id"], row["customer_id"]
        if owners not in of_tenant.owners:
            of_tenant.owners[owners] = Owners(*owners, self._shared_limits(*owners, of_tenant.of_customers))
        shared = of_tenant.owners[owners]
        common: dict[str, Any] = {
            "virtual_key_id": row["id"],
            "name": row["name"],
            "tenant": of_tenant.tenant,
            "revision": of_tenant.revision,
            "team_id": shared.team_id,
            "customer_id": shared.customer_id,
            "value_hash": row["value_hash"],
            "shared": shared.limits,
        }
        if row["deleted"]:
            return Policy(**common, is_deleted=True, is_active=False)
        model_limits = tuple(self._model_limits(each, row) for each in self._rows.model_configs.get(row["id"], ()))
        return Policy(
            **common,
            previous_value_hash=row["previous_value_hash"],
            previous_value_expires_at=row["previous_value_expires_at"],
            is_active=row["is_active"],
            expires_at=row["expires_at"],
            allow_all_providers=row["allow_all_providers"],
            providers=tuple(self._provider(each, row) for each in self._rows.provider_configs.get(row["id"], ())),
            mcp=tuple(
                McpAccess(each["mcp_client_name"], tuple(each["tools_to_execute"]))
                for each in self._rows.mcp_configs.get(row["id"], ())
            ),
            limits=self._limits("virtual_key_id", row, _holder("virtual_key", "virtual_key", row)),
            model_limits=tuple(each for each in model_limits if each.limits),
        )

    def _shared_limits(
        self, team_id: str | None, customer_id: str | None, of_customers: dict[str, Limits]
    ) -> tuple[Limits, ...]:
        team, customer = self._teams.get(team_id), self._customers.get(customer_id)
        found = [] if team is None else [self._limits("team_id", team, _holder("team", "team", team))]
        if customer is not None:
            if customer["id"] not in of_customers:
                holder = _holder("customer", "customer", customer)
                of_customers[customer["id"]] = self._limits("customer_id", customer, holder)
            found.append(of_customers[customer["id"]])
        return tuple(filter(None, found))

    def _provider(self, row: Row, key: Row) -> ProviderAccess:
        pinned = self._rows.pinned_provider_keys.get(row["id"], ())
        holder = Holder("provider_config", "provider_config", str(row["id"]), row["provider"])
        limits = limits_of(self._rows, "provider_config_id", row["id"], aligned_by=key, holder=holder)
        access = _access(
            row["provider"],
            row["weight"],
            tuple(row["allowed_models"]),
            tuple(row["blacklisted_models"]),
            None if row["allow_all_keys"] else tuple(each["id"] for each in pinned),
        )
        return msgspec.structs.replace(access, limits=limits) if limits else access

    def _model_limits(self, row: Row, key: Row) -> ModelLimits:
        holder = Holder("model_config", "model_config", row["id"], f"{key['name']}: {row['model_name']}")
        limits = limits_of(self._rows, "model_config_id", row["id"], aligned_by=row, holder=holder)
        return ModelLimits(row["model_name"], row["provider"], limits)

    def _limits(self, owner_column: str, row: Row, holder: Holder) -> Limits:
        limits = limits_of(self._rows, owner_column, row["id"], aligned_by=row, holder=holder)
        most = row["max_parallel_requests"]
        return limits if most is None else (*limits, parallel_limit(holder, most))


@lru_cache(maxsize=4096)
def _access(
    provider: str,
    weight: float | None,
    allowed_models: tuple[str, ...],
    blacklisted_models: tuple[str, ...],
    key_ids: tuple[str, ...] | None,
) -> ProviderAccess:
    """One for all virtual keys that may use the same."""
    return ProviderAccess(provider, weight, model_list(allowed_models), model_list(blacklisted_models), key_ids)


@lru_cache(maxsize=4096)
def _maximum(number: int) -> int:
    """One object for limits of the same size: a deployment has few sizes."""
    return number


def build_global(rows: TreeRows, tenant: Tenant, revision: int, default_mcp: Iterable[Row]) -> GlobalPolicy:
    """What the whole deployment is held to; its model configs are loaded."""
    found = (_global_limits(rows, row) for row in rows.model_configs.get(None, ()))
    return GlobalPolicy(
        tenant,
        revision,
        tuple(each for each in found if each.limits),
        tuple(McpAccess(row["name"], tuple(row["tools_to_execute"])) for row in default_mcp),
    )


def limits_of(rows: TreeRows, owner_column: str, owner_id: str | int, *, aligned_by: Row, holder: Holder) -> Limits:
    """Rate limits first, as they are checked; `aligned_by` is whose calendar they follow."""
    rate_limits = [
        limit
        for row in rows.rate_limits.get((owner_column, owner_id), ())
        for limit in _rate_limits(row, aligned_by, holder)
    ]
    budgets = [_budget(row, aligned_by, holder) for row in rows.budgets.get((owner_column, owner_id), ())]
    return (*rate_limits, *budgets)


def parallel_limit(holder: Holder, most: int) -> Limit:
    return Limit(id=holder.id, kind="parallel", holder=holder, max=most)


def _global_limits(rows: TreeRows, row: Row) -> ModelLimits:
    of_provider = row["model_name"] == "*" and row["provider"] is not None
    level: Level = "provider" if of_provider else "model"
    name = row["provider"] if of_provider else row["model_name"]
    holder = Holder(level, "model_config", row["id"], name)
    limits = limits_of(rows, "model_config_id", row["id"], aligned_by=row, holder=holder)
    return ModelLimits(row["model_name"], row["provider"], limits)


def _budget(row: Row, aligned_by: Row, holder: Holder) -> Limit:
    return Limit(
        id=row["id"],
        kind="budget",
        holder=holder,
        max=_maximum(row["max_limit_nanousd"]),
        epoch=row["epoch"],
        rule=reset_rule(row["reset_duration"], row, aligned_by),
        shadow=row["shadow"],
        override=_override(row),
    )


def _override(row: Row) -> Override | None:
    if row["override_mode"] is None:
        return None
    return Override(row["override_amount_nanousd"], row["override_cycles_total"], row["override_anchor_reset"])


def _rate_limits(row: Row, aligned_by: Row, holder: Holder) -> Sequence[Limit]:
    metrics: tuple[tuple[str, LimitKind], ...] = (("token", "tokens"), ("request", "requests"))
    return [
        Limit(
            id=row["id"],
            kind=kind,
            holder=holder,
            max=_maximum(row[f"{metric}_max_limit"]),
            epoch=row[f"{metric}_epoch"],
            rule=reset_rule(row[f"{metric}_reset_duration"], row, aligned_by),
            shadow=row["shadow"],
        )
        for metric, kind in metrics
        if row[f"{metric}_max_limit"] is not None
    ]


def _holder(level: Level, kind: str, row: Row) -> Holder:
    return Holder(level, kind, row["id"], row["name"])
