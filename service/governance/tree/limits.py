"""Budgets and rate limits as the tree shows them, each with the marks of its live numbers."""

from datetime import datetime
from functools import lru_cache
from typing import Any

from msgspec import UNSET, Raw, UnsetType

from service.domain.durations import parse_reset_duration
from service.domain.entities import Budget, RateLimit, ResetConfig
from service.domain.meters import Meter, budget_meter_id, requests_meter_id, tokens_meter_id
from service.domain.money import nanousd_to_json
from service.domain.windows import ResetRule, to_us, window_at, windows_since
from service.governance.tree.template import Meters
from service.store.trees import Row, TreeRows


class LimitBuilder:
    """Builds the limits of one tenant's owners and collects their meters, in `meters` if that is given."""

    def __init__(self, rows: TreeRows, now: datetime, meters: Meters | None = None) -> None:
        self._rows = rows
        self._now = now
        self.meters = meters or Meters()

    def of(self, owner_column: str, owner: Row) -> dict[str, Any]:
        """The limit fields of an owner: the first budget also by itself, that and the rate limit also by id."""
        budgets = self.budgets(owner_column, owner["id"], owner)
        rate_limit = self.rate_limit(owner_column, owner["id"], owner)
        first = budgets[0] if budgets else UNSET
        return {
            "budget_id": UNSET if first is UNSET else first.id,
            "budget": first,
            "budgets": budgets,
            "rate_limit_id": UNSET if rate_limit is UNSET else rate_limit.id,
            "rate_limit": rate_limit,
        }

    def budgets(self, owner_column: str, owner_id: str | int, aligned_by: Row) -> list[Budget]:
        """`aligned_by` is the row whose calendar alignment and time zone the limits follow."""
        rows = self._rows.budgets.get((owner_column, owner_id), [])
        return [self.budget_of(row, aligned_by) for row in rows]

    def rate_limit(self, owner_column: str, owner_id: str | int, aligned_by: Row) -> RateLimit | UnsetType:
        rows = self._rows.rate_limits.get((owner_column, owner_id), [])
        both = [row for row in rows if row["metric"] is None]
        return self.rate_limit_of(both[0], aligned_by) if both else UNSET

    def rate_limits(self, owner_column: str, owner_id: str | int, aligned_by: Row) -> list[RateLimit]:
        """Those of one metric each."""
        rows = self._rows.rate_limits.get((owner_column, owner_id), [])
        return [self.rate_limit_of(row, aligned_by) for row in rows if row["metric"] is not None]

    def rate_limit_of(self, row: Row, aligned_by: Row) -> RateLimit:
        """`row` by itself, whoever's it is."""
        token_usage, token_start = self._rate_meter("token", row, aligned_by)
        request_usage, request_start = self._rate_meter("request", row, aligned_by)
        return RateLimit(
            id=row["id"],
            metric=set_or_left_out(row["metric"]),
            token_max_limit=set_or_left_out(row["token_max_limit"]),
            token_reset_duration=set_or_left_out(row["token_reset_duration"]),
            token_current_usage=token_usage,
            token_last_reset=token_start,
            request_max_limit=set_or_left_out(row["request_max_limit"]),
            request_reset_duration=set_or_left_out(row["request_reset_duration"]),
            request_current_usage=request_usage,
            request_last_reset=request_start,
            shadow=row["shadow"],
            **stamps(row),
        )

    def budget_of(self, row: Row, aligned_by: Row) -> Budget:
        """`row` by itself, whoever's it is."""
        rule = reset_rule(row["reset_duration"], row, aligned_by)
        meter = Meter(id=budget_meter_id(row["id"]), epoch=row["epoch"], rule=rule)
        index = self.meters.add(meter, in_usd=True)
        quarter_start_month = row["quarter_start_month"]
        return Budget(
            id=row["id"],
            max_limit=_usd(row["max_limit_nanousd"]),
            reset_duration=row["reset_duration"],
            last_reset=self.meters.window_start_mark(index),
            current_usage=self.meters.usage_mark(index),
            **self._override(row, rule),
            customer_id=set_or_left_out(row["customer_id"]),
            team_id=set_or_left_out(row["team_id"]),
            virtual_key_id=set_or_left_out(row["virtual_key_id"]),
            provider_config_id=set_or_left_out(row["provider_config_id"]),
            model_config_id=set_or_left_out(row["model_config_id"]),
            reset_config=UNSET if quarter_start_month is None else ResetConfig(quarter_start_month),
            alert_thresholds=row["alert_thresholds"],
            shadow=row["shadow"],
            **stamps(row),
        )

    def _override(self, row: Row, rule: ResetRule) -> dict[str, Any]:
        """The override fields while it lasts: for so many windows from the one it was granted in, or for ever."""
        if row["override_mode"] is None:
            return {}
        fields = {
            "override_mode": row["override_mode"],
            "override_amount": _usd(row["override_amount_nanousd"]),
            "override_anchor_reset": set_or_left_out(row["override_anchor_reset"]),
        }
        if row["override_mode"] == "forever":
            return fields
        remaining = cycles_remaining(row, rule, self._now)
        if remaining <= 0:
            return {}
        self.meters.hold_until(window_at(rule, self._now).end)
        return fields | {
            "override_cycles_total": row["override_cycles_total"],
            "override_cycles_remaining": remaining,
        }

    def _rate_meter(self, metric: str, row: Row, aligned_by: Row) -> tuple[Any, Any]:
        reset_duration = row[f"{metric}_reset_duration"]
        if reset_duration is None:
            return 0, row["anchored_at"]
        meter = Meter(
            id=(tokens_meter_id if metric == "token" else requests_meter_id)(row["id"]),
            epoch=row[f"{metric}_epoch"],
            rule=reset_rule(reset_duration, row, aligned_by),
        )
        index = self.meters.add(meter, in_usd=False)
        return self.meters.usage_mark(index), self.meters.window_start_mark(index)


def cycles_remaining(row: Row, rule: ResetRule, now: datetime) -> int:
    """How many windows of a budget's override are left, the current one among them; 0 or less when it is over."""
    # A clock that was set back is in a window before the grant.
    passed = max(windows_since(rule, row["override_anchor_reset"], now), 0)
    remaining: int = row["override_cycles_total"] - passed
    return remaining


def stamps(row: Row) -> dict[str, Any]:
    return {"config_hash": row["config_hash"], "created_at": row["created_at"], "updated_at": row["updated_at"]}


def set_or_left_out(value: Any) -> Any:
    """NULL is left out of the JSON."""
    return UNSET if value is None else value


def _usd(amount_nanousd: int) -> Any:
    """Written out, not through a double: exact at any size."""
    return Raw(nanousd_to_json(amount_nanousd))


def reset_rule(reset_duration: str, row: Row, aligned_by: Row) -> ResetRule:
    """`aligned_by` is the row whose calendar alignment and time zone the limit in `row` follows."""
    quarter_start_month = row.get("quarter_start_month") or 1
    calendar = aligned_by["calendar_aligned"], aligned_by["time_zone"], quarter_start_month
    return _rule(reset_duration, row["anchored_at"], *calendar)


@lru_cache(maxsize=1024)
def _rule(
    reset_duration: str, anchored_at: datetime, calendar_aligned: bool, time_zone: str, quarter_start_month: int
) -> ResetRule:
    """One for all limits that are alike: those of one owner were mostly made at once."""
    return ResetRule(
        duration=parse_reset_duration(reset_duration),
        anchored_us=to_us(anchored_at),
        calendar_aligned=calendar_aligned,
        time_zone=time_zone,
        quarter_start_month=quarter_start_month,
    )
