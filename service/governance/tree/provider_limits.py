"""The limits of whole providers as they are shown: from the model configs that hold them."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from msgspec import UNSET, UnsetType

from service.domain.entities import Budget, RateLimit
from service.domain.sealing import Sealer
from service.governance.tree.limits import LimitBuilder
from service.governance.tree.shown import Shown
from service.governance.tree.template import Template, make_template
from service.store.model_configs import find_provider_model_configs
from service.store.postgres import Connection
from service.store.trees import Row, TreeRows, TreeScope, load_tree_rows


class ProviderLimits(msgspec.Struct, kw_only=True):
    """The limits of one provider, deployment-wide. `budget` is the first of `budgets`.

    `rate_limits` is left out unless the limits were made as a model config with rules of one metric each.
    """

    provider: str
    budget: Budget | UnsetType = UNSET
    budgets: list[Budget]
    rate_limit: RateLimit | UnsetType = UNSET
    rate_limits: list[RateLimit] | UnsetType = UNSET
    calendar_aligned: bool


async def show_provider_limits(
    connection: Connection,
    ids: Sequence[str],
    *,
    sealer: Sealer | None,  # noqa: ARG001  # as Show has it; limits hold no secret
    now: datetime,
) -> list[Shown]:
    """`ids` are the names of providers."""
    providers = await find_provider_model_configs(connection, ids)
    rows = await load_tree_rows(connection, TreeScope(model_config_ids=list(providers)))
    by_provider = {providers[row["id"]]: row for row in rows.model_configs.get(None, [])}
    return [
        Shown(provider, by_provider[provider]["tenant_id"], _template(rows, by_provider[provider], now))
        for provider in ids
        if provider in by_provider
    ]


def _template(rows: TreeRows, row: Row, now: datetime) -> Template:
    limits = LimitBuilder(rows, now)
    budgets = limits.budgets("model_config_id", row["id"], row)
    shown = ProviderLimits(
        provider=row["provider"],
        budget=budgets[0] if budgets else UNSET,
        budgets=budgets,
        rate_limit=limits.rate_limit("model_config_id", row["id"], row),
        rate_limits=limits.rate_limits("model_config_id", row["id"], row) or UNSET,
        calendar_aligned=row["calendar_aligned"],
    )
    return make_template(shown, limits.meters)
