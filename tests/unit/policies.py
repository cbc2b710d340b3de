"""Policies made by hand, without a store."""

from datetime import UTC, datetime
from typing import Any

from service.domain.durations import parse_reset_duration
from service.domain.meters import Tenant
from service.domain.models import model_list
from service.domain.policy import Holder, Limit, LimitKind, Policy, ProviderAccess
from service.domain.windows import ResetRule, to_us

ANCHOR = datetime(2026, 1, 1, tzinfo=UTC)
NOW_US = to_us(ANCHOR)


def policy(*providers: ProviderAccess, **fields: Any) -> Policy:
    """Of a virtual key named ci-bot."""
    given: dict[str, Any] = {
        "virtual_key_id": "key",
        "name": "ci-bot",
        "tenant": Tenant("virtual_key:key", 1),
        "revision": 1,
    }
    return Policy(**(given | {"value_hash": b"", "providers": providers} | fields))


def access(provider: str, weight: float | None = None, **fields: Any) -> ProviderAccess:
    """To every model, with every key, unless told otherwise."""
    lists = {name: model_list(fields.pop(name, default)) for name, default in (("allowed", ["*"]), ("denied", []))}
    return ProviderAccess(
        provider=provider,
        weight=weight,
        allowed_models=lists["allowed"],
        blacklisted_models=lists["denied"],
        key_ids=fields.pop("key_ids", None),
        **fields,
    )


def limit(name: str, kind: LimitKind = "budget", most: int = 10, **fields: Any) -> Limit:
    """Of a day; none for parallel calls."""
    rule = None if kind == "parallel" else ResetRule(parse_reset_duration("1d"), NOW_US)
    given: dict[str, Any] = {"holder": Holder("virtual_key", "virtual_key", "key", "ci-bot"), "rule": rule} | fields
    return Limit(id=name, kind=kind, max=most, **given)
