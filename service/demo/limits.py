"""Budgets and rate limits of a demo tree, and the periods they count in."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal

import msgspec

from service.demo.plans import BudgetPlan, LimitPlan, RateLimitPlan
from service.demo.rows import BudgetRow, CustomerRow, LimitRow, RateLimitRow, TeamRow, VirtualKeyRow
from service.demo.shape import DemoTree, demo_id
from service.domain.durations import parse_reset_duration
from service.domain.money import NANOUSD_PER_USD
from service.domain.windows import ResetRule, to_us, window_at

# What owners multiply their kind's limits by, in turn: as many as go evenly into no number of kinds.
_SCALES_PERCENT = (50, 60, 75, 100, 125, 150, 200)
_OVERRIDE_PERCENT = 50
_OVERRIDE_CYCLES = 3


class LimitOwner(msgspec.Struct, frozen=True, kw_only=True):
    """`column` is the one that points at the owner; `number` is its own, or that of its virtual key."""

    column: Literal["customer_id", "team_id", "virtual_key_id", "provider_config_id"]
    id: str | int
    number: int
    provider: str = ""
    created_at: datetime
    calendar_aligned: bool
    time_zone: str = "UTC"


def limit_rows(tree: DemoTree, plan: LimitPlan, owner: LimitOwner) -> Iterator[LimitRow]:
    for position, budget in enumerate(plan.budgets):
        yield _budget_row(tree, budget, owner, position=position)
    if plan.rate_limit is not None:
        yield _rate_limit_row(tree, plan.rate_limit, owner)


def reset_rule(
    reset_duration: str, row: LimitRow, aligned_by: LimitOwner | CustomerRow | TeamRow | VirtualKeyRow
) -> ResetRule:
    quarter_start_month = row.quarter_start_month if isinstance(row, BudgetRow) else None
    return ResetRule(
        duration=parse_reset_duration(reset_duration),
        anchored_us=to_us(row.anchored_at),
        calendar_aligned=aligned_by.calendar_aligned,
        time_zone=aligned_by.time_zone,
        quarter_start_month=quarter_start_month or 1,
    )


def _budget_row(tree: DemoTree, plan: BudgetPlan, owner: LimitOwner, *, position: int) -> BudgetRow:
    row = BudgetRow(
        **_common_columns(tree, owner, limit=f"budget {position}"),
        position=position,
        max_limit_nanousd=_scaled(tree, plan.limit_usd * NANOUSD_PER_USD, owner),
        reset_duration=plan.reset_duration,
        quarter_start_month=plan.quarter_start_month,
    )
    if plan.override_mode is None:
        return row
    row.override_mode = plan.override_mode
    row.override_amount_nanousd = row.max_limit_nanousd * _OVERRIDE_PERCENT // 100
    if plan.override_mode == "cycles":
        granted_in = window_at(reset_rule(row.reset_duration, row, owner), tree.now)
        row.override_anchor_reset = granted_in.start
        row.override_cycles_total = _OVERRIDE_CYCLES
    return row


def _rate_limit_row(tree: DemoTree, plan: RateLimitPlan, owner: LimitOwner) -> RateLimitRow:
    tokens, token_reset_duration = plan.tokens or (None, None)
    requests, request_reset_duration = plan.requests or (None, None)
    return RateLimitRow(
        **_common_columns(tree, owner, limit="rate limit"),
        token_max_limit=None if tokens is None else _scaled(tree, tokens, owner),
        token_reset_duration=token_reset_duration,
        request_max_limit=None if requests is None else _scaled(tree, requests, owner),
        request_reset_duration=request_reset_duration,
    )


def _common_columns(tree: DemoTree, owner: LimitOwner, *, limit: str) -> dict[str, Any]:
    return {
        "id": demo_id(tree, owner.number, f"{owner.column} {owner.provider} {limit}"),
        owner.column: owner.id,
        "anchored_at": owner.created_at,
        "created_at": owner.created_at,
        "updated_at": owner.created_at,
    }


def _scaled(tree: DemoTree, amount: int, owner: LimitOwner) -> int:
    place = (tree.shape.seed + owner.number) % len(_SCALES_PERCENT)
    return amount * _SCALES_PERCENT[place] // 100
