"""From rows to the wire's entities: one customer with its teams and virtual keys."""

from collections import defaultdict
from datetime import datetime

from msgspec import UNSET, UnsetType

from service.domain.entities import (
    Customer,
    McpConfig,
    ProviderConfig,
    ProviderKey,
    Reference,
    Team,
    VirtualKey,
)
from service.domain.sealing import VIRTUAL_KEY_PREFIX, NotOpenedError, Sealer, sealed_virtual_key
from service.governance.tree.limits import LimitBuilder, set_or_left_out, stamps
from service.governance.tree.template import Template, make_template
from service.store.trees import Row, TreeRows

_MASKED_VALUE = f"{VIRTUAL_KEY_PREFIX}********"


class TreeBuilder:
    """Builds templates of the tenants in `rows`, as they read at `now`; without a sealer, values are masked."""

    def __init__(self, rows: TreeRows, sealer: Sealer | None, now: datetime) -> None:
        self._rows = rows
        self._sealer = sealer
        self._now = now

    def customer(self, tenant_id: str) -> Template:
        """The template of one customer's tree."""
        limits = LimitBuilder(self._rows, self._now)
        customer = self._customer(self._rows.customers[tenant_id][0], limits)
        return make_template(customer, limits.meters, valid_until=limits.valid_until)

    def _customer(self, row: Row, limits: LimitBuilder) -> Customer:
        me = Reference(id=row["id"], name=row["name"])
        keys_by_team: defaultdict[str | None, list[Row]] = defaultdict(list)
        for key_row in self._rows.virtual_keys.get(row["tenant_id"], []):
            keys_by_team[key_row["team_id"]].append(key_row)
        own_keys = [self._virtual_key(key, limits, customer=me) for key in keys_by_team[None]]
        return Customer(
            id=row["id"],
            name=row["name"],
            **limits.of("customer_id", row),
            calendar_aligned=row["calendar_aligned"],
            max_parallel_requests=set_or_left_out(row["max_parallel_requests"]),
            teams=[
                self._team(team, keys_by_team[team["id"]], limits, customer=me)
                for team in self._rows.teams.get(row["tenant_id"], [])
            ],
            virtual_keys=own_keys,
            virtual_key_count=len(own_keys),
            **stamps(row),
        )

    def _team(self, row: Row, key_rows: list[Row], limits: LimitBuilder, *, customer: Reference) -> Team:
        me = Reference(id=row["id"], name=row["name"])
        return Team(
            id=row["id"],
            name=row["name"],
            customer_id=row["customer_id"],
            **limits.of("team_id", row),
            calendar_aligned=row["calendar_aligned"],
            max_parallel_requests=set_or_left_out(row["max_parallel_requests"]),
            customer=customer,
            virtual_keys=[self._virtual_key(key, limits, team=me) for key in key_rows],
            virtual_key_count=len(key_rows),
            profile=row["profile"],
            config=row["config"],
            claims=row["claims"],
            **stamps(row),
        )

    def _virtual_key(
        self,
        row: Row,
        limits: LimitBuilder,
        *,
        team: Reference | UnsetType = UNSET,
        customer: Reference | UnsetType = UNSET,
    ) -> VirtualKey:
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
            allow_all_providers=row["allow_all_providers"],
            max_parallel_requests=set_or_left_out(row["max_parallel_requests"]),
            keys=list(pinned.values()),
            team=team,
            customer=customer,
            provider_configs=provider_configs,
            mcp_configs=[_mcp_config(config) for config in self._rows.mcp_configs.get(row["id"], [])],
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
            keys=[_provider_key(key) for key in self._rows.pinned_provider_keys.get(row["id"], [])],
            budgets=limits.budgets("provider_config_id", row["id"], owner),
            rate_limit_id=UNSET if rate_limit is UNSET else rate_limit.id,
            rate_limit=rate_limit,
        )


def _provider_key(row: Row) -> ProviderKey:
    return ProviderKey(
        id=row["id"],
        name=row["name"],
        provider=row["provider"],
        value=row["value"],
        weight=row["weight"],
        models=row["models"],
        azure_key_config=set_or_left_out(row["azure_key_config"]),
        vertex_key_config=set_or_left_out(row["vertex_key_config"]),
        bedrock_key_config=set_or_left_out(row["bedrock_key_config"]),
    )


def _mcp_config(row: Row) -> McpConfig:
    return McpConfig(
        id=row["id"],
        virtual_key_id=row["virtual_key_id"],
        mcp_client_id=row["mcp_client_id"],
        mcp_client_name=row["mcp_client_name"],
        tools_to_execute=row["tools_to_execute"],
    )
