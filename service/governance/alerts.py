"""Deliver alerts: each to every webhook, signed, until it has it or has been tried often enough.

An alert is one replica's at a time: claimed for the length of a lease, and up again when that one died with it. What
was delivered in the moment a replica died is delivered again: a receiver goes by the alert's id.
"""

import asyncio
import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import msgspec
import structlog

from service.domain.alerts import MOST_ATTEMPTS, Alert, encode_message, retry_delay, sign
from service.governance.background import repeat
from service.store.alerts import Attempt, ClaimedAlert, claim_alerts, settle_alert
from service.store.postgres import Store, StoreUnavailableError

SIGNATURE = "X-Governance-Signature"
_INTERVAL_SECONDS = 2.0
_AT_ONCE = 20
_MOST_ROUNDS = 50
# Several times what a round takes: a webhook is waited for 10 seconds at most.
_LEASE = timedelta(seconds=60)
# What nobody tried for so long fired when there was no webhook: news no more.
_STALE = timedelta(days=3)
log = structlog.get_logger()


class DeliveryError(Exception):
    """Why a webhook did not take an alert, in words without its URL: operators read them in the list of alerts."""


class Send(Protocol):
    """POSTs `body`; returns when it was taken. Raises DeliveryError, within 10 seconds."""

    async def __call__(self, url: str, body: bytes, *, headers: Mapping[str, str]) -> None: ...


class Webhook(msgspec.Struct, frozen=True):
    """A receiver. `digest` is what the outbox knows it by: its URL may hold a secret."""

    number: int
    url: str
    digest: str


def parse_webhooks(urls: str) -> tuple[Webhook, ...]:
    """From the setting: URLs with commas in between."""
    stripped = [url.strip() for url in urls.split(",") if url.strip()]
    return tuple(
        Webhook(number, url, hashlib.sha256(url.encode()).hexdigest()[:16])
        for number, url in enumerate(stripped, start=1)
    )


class AlertDeliverer:
    """Delivers what is due to all of `webhooks`."""

    def __init__(
        self,
        store: Store,
        send: Send,
        *,
        webhooks: Sequence[Webhook],
        secret: str,
        clock: Callable[[], datetime],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._send = send
        self._webhooks = webhooks
        self._secret = secret
        self._clock = clock
        self._jitter = jitter

    async def watch(self, stop: asyncio.Event) -> None:
        """Deliver until `stop`. A store that does not answer is waited for; the probes tell of it."""

        async def deliver() -> None:
            try:
                for _ in range(_MOST_ROUNDS):
                    if await self.deliver_due() < _AT_ONCE or stop.is_set():
                        return
            except StoreUnavailableError:
                log.debug("no alerts delivered: the store does not answer")

        await repeat(deliver, every_seconds=_INTERVAL_SECONDS, stop=stop)

    async def deliver_due(self) -> int:
        """One attempt for each of the alerts that have waited longest; how many. Raises StoreUnavailableError."""
        async with self._store.connection() as connection:
            claimed = await claim_alerts(connection, as_of=self._clock(), lease=_LEASE, limit=_AT_ONCE)
        if not claimed:
            return 0
        attempts = await asyncio.gather(*map(self._try, claimed))
        async with self._store.connection() as connection:
            for attempt in attempts:
                await settle_alert(connection, attempt)
        return len(claimed)

    async def _try(self, claimed: ClaimedAlert) -> Attempt:
        if self._clock() - claimed.due_at > _STALE:
            return self._failed(claimed, claimed.delivered_to, f"nobody tried for {_STALE.days} days", final=True)
        missing = [webhook for webhook in self._webhooks if webhook.digest not in claimed.delivered_to]
        faults = await asyncio.gather(*(self._post(webhook, claimed.alert) for webhook in missing))
        taken = {webhook.digest for webhook, fault in zip(missing, faults, strict=True) if not fault}
        said = "; ".join(filter(None, faults))
        if said:
            return self._failed(claimed, claimed.delivered_to | taken, said)
        return Attempt(
            alert_id=claimed.alert.id,
            attempts=claimed.alert.attempts,
            state="delivered",
            delivered_to=claimed.delivered_to | taken,
            delivered_at=self._clock(),
        )

    async def _post(self, webhook: Webhook, alert: Alert) -> str:
        """Why it did not take it; empty when it did."""
        body = encode_message(alert)
        signature = sign(body, secret=self._secret, at=self._clock())
        try:
            await self._send(webhook.url, body, headers={"Content-Type": "application/json", SIGNATURE: signature})
        except DeliveryError as error:
            return f"webhook {webhook.number} {error}"
        return ""

    def _failed(
        self, claimed: ClaimedAlert, delivered_to: frozenset[str], last_error: str, *, final: bool = False
    ) -> Attempt:
        alert = claimed.alert
        final = final or alert.attempts >= MOST_ATTEMPTS
        log.warning("alert not delivered", alert=alert.id, attempts=alert.attempts, dead=final, reason=last_error)
        again_at = self._clock() + retry_delay(alert.attempts, jitter=self._jitter())
        return Attempt(
            alert_id=alert.id,
            attempts=alert.attempts,
            state="dead" if final else "pending",
            delivered_to=delivered_to,
            last_error=last_error,
            next_attempt_at=None if final else again_at,
        )
