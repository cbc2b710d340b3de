"""From rows to the wire's entities, each as a template with holes for its live numbers."""

from datetime import datetime
from typing import Any

from msgspec import UNSET, UnsetType

from service.domain.entities import (
    Customer,
    ModelBudget,
    ModelConfig,
    ProviderConfig,
    Reference,
    Team,
    VirtualKey,
)
from service.domain.sealing import VIRTUAL_KEY_PREFIX, NotOpenedError, Sealer, sealed_virtual_key
from service.governance.tree.grants import mcp_config, provider_key
from service.governance.tree.limits import LimitBuilder, set_or_left_out, stamps
from service.governance.tree.template import Template, make_template
from service.store.trees import Row, TreeRows

_MASKED_VALUE = f"{VIRTUAL_KEY_PREFIX}********"


class TreeBuilder:
    """Builds templates of what is in `rows`, as it reads at `now`; without a sealer, values are masked."""

    def __init__(self, rows: TreeRows, sealer: Sealer | None, now: datetime) -> None:
        self._rows = rows
        self._sealer = sealer
        self._now = now

    def customer(self, row: Row, *, virtual_key_count: int) -> Template:
        """A customer by itself, without what is below it."""
        limits = LimitBuilder(self._rows, self._now)
        customer = self.customer_entity(
            row, limits, teams=UNSET, virtual_keys=UNSET, virtual_key_count=virtual_key_count
        )
        return make_template(customer, limits.meters)

    def team(self, row: Row, *, virtual_key_count: int | None = None) -> Template:
        """A team with its virtual keys when they are loaded; by itself when their number is given instead."""
        limits = LimitBuilder(self._rows, self._now)
        if virtual_key_count is None:
            rows = [key for key in self._rows.virtual_keys.get(row["tenant_id"], []) if key["team_id"] == row["id"]]
            keys = [self.virtual_key_entity(key, limits) for key in rows]
            team = self.team_entity(row, limits, virtual_keys=keys, virtual_key_count=len(keys))
        else:
            team = self.team_entity(row, limits, virtual_keys=UNSET, virtual_key_count=virtual_key_count)
        return make_template(team, limits.meters)

    def virtual_key(self, row: Row) -> Template:
        limits = LimitBuilder(self._rows, self._now)
        return make_template(self.virtual_key_entity(row, limits), limits.meters)

    def model_config(self, row: Row) -> Template:
        limits = LimitBuilder(self._rows, self._now)
        rate_limit = limits.rate_limit("model_config_id", row["id"], row)
        model_config = ModelConfig(
            id=row["id"],
            model_name=row["model_name"],
            provider=row["provider"],
            scope="global" if row["virtual_key_id"] is None else "virtual_key",
            scope_id=set_or_left_out(row["virtual_key_id"]),
            scope_name=set_or_left_out(row["virtual_key_name"]),
            calendar_aligned=row["calendar_aligned"],
            time_zone=row["time_zone"],
            budgets=limits.budgets("model_config_id", row["id"], row),
            rate_limit_id=UNSET if rate_limit is UNSET else rate_limit.id,
            rate_limit=rate_limit,
            rate_limits=limits.rate_limits("model_config_id", row["id"], row),
            **stamps(row),
        )
        return make_template(model_config, limits.meters)

    def customer_entity(self, row: Row, limits: LimitBuilder, **below: Any) -> Customer:
        """`below` are `teams`, `virtual_keys` and how many of these there are."""
        return Customer(
            id=row["id"],
            name=row["name"],
            **limits.of("customer_id", row),
            calendar_aligned=row["calendar_aligned"],
            time_zone=row["time_zone"],
            max_parallel_requests=set_or_left_out(row["max_parallel_requests"]),
            **below,
            **stamps(row),
        )

    def team_entity(self, row: Row, limits: LimitBuilder, **below: Any) -> Team:
        """`below` are `virtual_keys` and how many there are."""
        return Team(
            id=row["id"],
            name=row["name"],
            customer_id=set_or_left_out(row["customer_id"]),
            **limits.of("team_id", row),
            calendar_aligned=row["calendar_aligned"],
            time_zone=row["time_zone"],
            max_parallel_requests=set_or_left_out(row["max_parallel_requests"]),
            customer=_reference(row["customer_id"], row["customer_name"]),
            **below,
            profile=row["profile"],
            config=row["config"],
            claims=row["claims"],
            **stamps(row),
        )

    def virtual_key_entity(self, row: Row, limits: LimitBuilder) -> VirtualKey:
        provider_configs = [
            self._provider_config(config, row, limits) for config in self._rows.provider_configs.get(row["id"], [])
        ]
        pinned = {key.id: key for config in provider_configs for key in config.keys}
        return VirtualKey(
            id=row["id"],
            name=row["name"],
            description=row["description"],
            value=self._open_value(row),
            is_active=row["is_active"],
            expires_at=set_or_left_out(row["expires_at"]),
            team_id=set_or_left_out(row["team_id"]),
            customer_id=set_or_left_out(row["customer_id"]),
            **limits.of("virtual_key_id", row),
            calendar_aligned=row["calendar_aligned"],
            time_zone=row["time_zone"],
            allow_all_providers=row["allow_all_providers"],
            max_parallel_requests=set_or_left_out(row["max_parallel_requests"]),
            keys=list(pinned.values()),
            team=_reference(row["team_id"], row["team_name"]),
            customer=_reference(row["customer_id"], row["customer_name"]),
            provider_configs=provider_configs,
            mcp_configs=[mcp_config(config) for config in self._rows.mcp_configs.get(row["id"], [])],
            metadata=row["metadata"],
            disable_content_logging=set_or_left_out(row["disable_content_logging"]),
            delete_after_expire=set_or_left_out(row["delete_after_expire"]),
            created_by_user_id=set_or_left_out(row["created_by_user_id"]),
            rotated_at=set_or_left_out(row["rotated_at"]),
            previous_value_expires_at=set_or_left_out(row["previous_value_expires_at"]),
            **stamps(row),
        )

    def _open_value(self, row: Row) -> str:
        if self._sealer is None:
            return _MASKED_VALUE
        try:
            return self._sealer.open(row["value_sealed"], belongs_to=sealed_virtual_key(row["id"]))
        except NotOpenedError:
            # One damaged row must not take the tree from everyone; the start-up check tells of a wrong key.
            return ""

    def _provider_config(self, row: Row, owner: Row, limits: LimitBuilder) -> ProviderConfig:
        rate_limit = limits.rate_limit("provider_config_id", row["id"], owner)
        return ProviderConfig(
            id=row["id"],
            virtual_key_id=row["virtual_key_id"],
            provider=row["provider"],
            weight=set_or_left_out(row["weight"]),
            allowed_models=row["allowed_models"],
            blacklisted_models=row["blacklisted_models"],
            allow_all_keys=row["allow_all_keys"],
            keys=[provider_key(key) for key in self._rows.pinned_provider_keys.get(row["id"], [])],
            budgets=limits.budgets("provider_config_id", row["id"], owner),
            rate_limit_id=UNSET if rate_limit is UNSET else rate_limit.id,
            rate_limit=rate_limit,
            model_budgets=self._model_budgets(row, limits),
        )

    def _model_budgets(self, config: Row, limits: LimitBuilder) -> list[ModelBudget] | UnsetType:
        rows = self._rows.model_configs.get(config["virtual_key_id"], [])
        return [
            ModelBudget(
                model_name=row["model_name"],
                budgets=limits.budgets("model_config_id", row["id"], row),
                rate_limit=limits.rate_limit("model_config_id", row["id"], row),
                rate_limits=limits.rate_limits("model_config_id", row["id"], row) or UNSET,
            )
            for row in rows
            if row["provider"] == config["provider"] and row["model_name"] != "*"
        ] or UNSET


def _reference(entity_id: str | None, name: str | None) -> Reference | UnsetType:
    return UNSET if entity_id is None or name is None else Reference(id=entity_id, name=name)
