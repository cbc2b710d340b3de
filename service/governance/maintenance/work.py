"""What a task of maintenance works with, and what it tells of."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

import msgspec

from service.governance.changes.run import Changes
from service.store.postgres import Connection

_DONE = {"add": "added", "drop": "dropped", "move": "moved", "delete": "deleted"}


class Retention(msgspec.Struct, frozen=True):
    """How many days things are kept; a ledger of 0 days is kept for ever."""

    ledger_days: int
    idempotency_days: int

    def ledger_from(self, now: datetime) -> datetime | None:
        """Where the ledger begins, at a midnight; None: nowhere, it is kept for ever."""
        return midnight(now.date() - timedelta(days=self.ledger_days)) if self.ledger_days else None

    def idempotent_from(self, now: datetime) -> datetime:
        return now - timedelta(days=self.idempotency_days)


class Step(msgspec.Struct, frozen=True):
    """Something that was done, or would be."""

    verb: Literal["add", "drop", "move", "delete"]
    what: str

    def done(self) -> str:
        return f"{_DONE[self.verb]} {self.what}"

    def planned(self) -> str:
        return f"would {self.verb} {self.what}"


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """`connection` is for long work, outside a transaction; `changes` for what the audit log tells of.

    With `dry_run` a task tells what it would do, and does nothing. `tell` is told each step when it is done, `progress`
    how far a long one is.
    """

    connection: Connection
    changes: Changes
    now: datetime
    retention: Retention
    dry_run: bool
    tell: Callable[[Step], None]
    progress: Callable[[str, int], None]


def midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
