"""Budgets and rate limits by themselves, each with the calendar of its owner."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from service.domain.sealing import Sealer
from service.governance.tree.limits import LimitBuilder
from service.governance.tree.shown import Shown
from service.governance.tree.template import make_template
from service.store.limits import load_aligned_budgets, load_aligned_rate_limits
from service.store.postgres import Connection
from service.store.trees import Row, TreeRows

_NO_TREE = TreeRows({}, {}, {}, {}, {}, {}, {}, {}, {})


async def show_budgets(
    connection: Connection,
    ids: Sequence[str],
    *,
    sealer: Sealer | None,  # noqa: ARG001  # as Show has it; limits hold no secret
    now: datetime,
) -> list[Shown]:
    rows = await load_aligned_budgets(connection, ids)
    return [_budget(rows[budget_id], now) for budget_id in ids if budget_id in rows]


async def show_rate_limits(
    connection: Connection,
    ids: Sequence[str],
    *,
    sealer: Sealer | None,  # noqa: ARG001  # as Show has it; limits hold no secret
    now: datetime,
) -> list[Shown]:
    rows = await load_aligned_rate_limits(connection, ids)
    return [_rate_limit(rows[rate_limit_id], now) for rate_limit_id in ids if rate_limit_id in rows]


def _budget(row: Row, now: datetime) -> Shown:
    limits = LimitBuilder(_NO_TREE, now)
    return _shown(row, limits, limits.budget_of(row, row))


def _rate_limit(row: Row, now: datetime) -> Shown:
    limits = LimitBuilder(_NO_TREE, now)
    return _shown(row, limits, limits.rate_limit_of(row, row))


def _shown(row: Row, limits: LimitBuilder, limit: msgspec.Struct) -> Shown:
    template = make_template(limit, limits.meters)
    return Shown(row["id"], row["tenant_id"], template)
