"""One run of maintenance, and its turns in the background."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import msgspec
import structlog

from service.governance.background import repeat
from service.governance.changes.run import Changes
from service.governance.maintenance.expired_keys import delete_expired_keys
from service.governance.maintenance.partitions import add_partitions, drop_partitions, move_strays
from service.governance.maintenance.pruning import (
    prune_alerts,
    prune_outlived_windows,
    prune_short_windows,
    prune_tables,
)
from service.governance.maintenance.work import Retention, Step, Work
from service.store.ledger_days import LedgerBusyError
from service.store.maintenance import MaintenanceError, begin_maintenance, maintaining
from service.store.postgres import Store, StoreUnavailableError

_ASK_FOR_A_TURN_SECONDS = 60.0
_MOST_STEPS_LOGGED = 20
# What is outdated in the default partition goes before the rest of it is moved; and what is attached beside it, which
# makes others wait while it is read through, when there is little left in it.
_TASKS: tuple[Callable[[Work], Awaitable[None]], ...] = (
    drop_partitions,
    prune_tables,
    prune_alerts,
    move_strays,
    add_partitions,
    prune_short_windows,
    prune_outlived_windows,
    delete_expired_keys,
)
log = structlog.get_logger()


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is to do, and whom it tells."""

    now: datetime
    retention: Retention
    dry_run: bool = False
    tell: Callable[[Step], None] = lambda _: None
    progress: Callable[[str, int], None] = lambda *_: None


class Outcome(msgspec.Struct, frozen=True):
    """`skipped`: somebody else was at it. `failed`: why some of it is left for the next run."""

    steps: list[Step] = []
    failed: list[str] = []
    skipped: bool = False


async def maintain(database_url: str, changes: Changes, plan: Plan) -> Outcome:
    """Do all there is to do, unless somebody else is at it. Raises StoreUnavailableError, MaintenanceError."""
    outcome = Outcome()

    def tell(step: Step) -> None:
        outcome.steps.append(step)
        plan.tell(step)

    async with maintaining(database_url) as connection:
        if connection is None:
            return Outcome(skipped=True)
        work = Work(
            connection=connection,
            changes=changes,
            now=plan.now,
            retention=plan.retention,
            dry_run=plan.dry_run,
            tell=tell,
            progress=plan.progress,
        )
        for task in _TASKS:
            try:
                await task(work)
            except LedgerBusyError as error:
                outcome.failed.append(str(error))
    return outcome


class Maintainer:
    """Maintenance beside the requests: each `interval`, by whichever replica asks first."""

    def __init__(
        self,
        store: Store,
        changes: Changes,
        *,
        database_url: str,
        retention: Retention,
        interval: timedelta,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._changes = changes
        self._database_url = database_url
        self._retention = retention
        self._interval = interval
        self._clock = clock

    async def watch(self, stop: asyncio.Event) -> None:
        """Maintain until `stop`. What fails is tried again at the next turn: requests do not depend on it."""
        await repeat(self._maintain_if_possible, every_seconds=_ASK_FOR_A_TURN_SECONDS, stop=stop)

    async def maintain_when_due(self) -> Outcome | None:
        """None when it is nobody's turn yet, or somebody else's. Raises StoreUnavailableError, MaintenanceError."""
        now = self._clock()
        async with self._store.connection() as connection:
            if not await begin_maintenance(connection, now=now, interval=self._interval):
                return None
        return await maintain(self._database_url, self._changes, Plan(now=now, retention=self._retention))

    async def _maintain_if_possible(self) -> None:
        try:
            outcome = await self.maintain_when_due()
        except StoreUnavailableError as error:
            log.debug("not maintained: Postgres does not answer", reason=str(error))
            return
        except MaintenanceError as error:
            log.warning("not maintained", reason=str(error))
            return
        if outcome is None:
            return
        if outcome.steps:
            log.info("maintained", steps=[step.done() for step in outcome.steps[:_MOST_STEPS_LOGGED]])
        if outcome.failed:
            log.warning("maintained in part", reasons=outcome.failed)
