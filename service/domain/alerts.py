"""Alerts: what is told when the use of a budget reaches a percent of its limit, and when the telling is tried again."""

import hashlib
import hmac
from datetime import datetime, timedelta
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from service.domain.entities import Instant

AlertState = Literal["pending", "delivered", "dead"]
ALERT_STATES: tuple[AlertState, ...] = ("pending", "delivered", "dead")
OwnerType = Literal["customer", "team", "virtual_key", "provider_config", "model_config"]

# Within four hours in all.
MOST_ATTEMPTS = 12
_FIRST_DELAY_SECONDS = 10
_LONGEST_DELAY_SECONDS = 3600


class AlertOwner(msgspec.Struct, frozen=True):
    """Whose budget it was. A provider config is named as its provider, a model config as its model."""

    type: OwnerType
    id: str
    name: str


class FiredAlert(msgspec.Struct, frozen=True, kw_only=True):
    """What happened, as it was then. Money is in US dollars; `max_limit` is with an override that was active.

    `customer_id`, `team_id` and `virtual_key_id` are all that the owner was or belonged to.
    """

    id: int
    budget_id: str
    owner: AlertOwner
    customer_id: str | UnsetType = UNSET
    team_id: str | UnsetType = UNSET
    virtual_key_id: str | UnsetType = UNSET
    threshold_percent: int
    max_limit: float
    used: float
    window_start: Instant
    fired_at: Instant


class Alert(FiredAlert, frozen=True, kw_only=True):
    """With what came of its delivery: `dead` is one that is not tried any more."""

    state: AlertState
    attempts: int
    last_error: str | UnsetType = UNSET
    delivered_at: Instant | UnsetType = UNSET


class AlertMessage(msgspec.Struct, frozen=True, kw_only=True):
    """The body a webhook gets. One alert may come more than once, and in any order: its id tells."""

    type: Annotated[str, Meta(description="what happened")] = "budget.threshold_reached"
    alert: FiredAlert


def encode_message(alert: Alert) -> bytes:
    fields = {name: getattr(alert, name) for name in FiredAlert.__struct_fields__}
    return msgspec.json.encode(AlertMessage(alert=FiredAlert(**fields)))


def sign(body: bytes, *, secret: str, at: datetime) -> str:
    """`t=<seconds since 1970>,v1=<hex>`: HMAC-SHA256 of the seconds, a dot and the body."""
    seconds = int(at.timestamp())
    return f"t={seconds},v1={hmac.new(secret.encode(), b'%d.%s' % (seconds, body), hashlib.sha256).hexdigest()}"


def retry_delay(attempts: int, *, jitter: float) -> timedelta:
    """Twice as long after each attempt, up to an hour; `jitter`, 0 to 1, takes up to half of it off."""
    longest = min(_FIRST_DELAY_SECONDS * 2 ** (attempts - 1), _LONGEST_DELAY_SECONDS)
    return timedelta(seconds=longest * (1 - jitter / 2))
