"""What goes by age: one row of `PRUNED` for each table, and the windows of meters."""

from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from service.governance.maintenance.work import Retention, Step, Work
from service.store.alerts import prune_alerts as delete_alerts
from service.store.maintenance import (
    OldRows,
    WindowPlace,
    count_older,
    delete_older,
    delete_outlived_windows,
    delete_short_windows,
)

_BATCH_ROWS = 10_000
_MOST_BATCHES = 100_000
_MOST_COUNTED = 1_000_000
# Windows of an hour and less, of which a meter has thousands in a year.
_SHORT_WINDOWS_KEPT = timedelta(days=30)
# How long alerts are listed.
_ALERTS_KEPT = timedelta(days=90)
# The current one, and those that are read as past windows, however old they are.
_WINDOWS_KEPT_OF_A_METER = 24


class Pruned(msgspec.Struct, frozen=True):
    """`kept_from`: what is older goes; None: nothing does."""

    rows: OldRows
    kept_from: Callable[[Retention, datetime], datetime | None]


# Sums of usage go with the events they are sums of: what is older than the retention is not told of at all. Those of
# hours too: the first and last hours of any period are taken from them.
PRUNED = (
    Pruned(OldRows("usage_requests", "recorded_at"), Retention.idempotent_from),
    Pruned(OldRows("idempotency_keys", "created_at"), Retention.idempotent_from),
    Pruned(OldRows("usage_events_default", "recorded_at"), Retention.ledger_from),
    Pruned(OldRows("usage_hourly", "hour"), Retention.ledger_from),
    Pruned(OldRows("usage_daily", "day"), Retention.ledger_from),
    Pruned(OldRows("usage_daily_by_owner", "day"), Retention.ledger_from),
    # Whose they were is asked for when usage of them is reported.
    Pruned(OldRows("deleted_virtual_keys", "deleted_at"), Retention.ledger_from),
)


async def prune_tables(work: Work) -> None:
    for pruned in PRUNED:
        before = pruned.kept_from(work.retention, work.now)
        if before is None:
            continue
        if work.dry_run:
            number = await count_older(work.connection, pruned.rows, before=before, at_most=_MOST_COUNTED)
        else:
            number = await _delete_in_batches(work, pruned.rows, before)
        _tell(work, number, f"rows of {pruned.rows.table}")


async def prune_alerts(work: Work) -> None:
    """Of windows that are over: those of a window that goes on would fire again."""
    number = 0
    for _ in range(0 if work.dry_run else _MOST_BATCHES):
        deleted = await delete_alerts(work.connection, as_of=work.now, keep=_ALERTS_KEPT, limit=_BATCH_ROWS)
        number += deleted
        work.progress("alerts", number)
        if deleted < _BATCH_ROWS:
            break
    _tell(work, number, "alerts")


async def prune_short_windows(work: Work) -> None:
    before = work.now - _SHORT_WINDOWS_KEPT
    number = 0
    limit = _MOST_COUNTED if work.dry_run else _BATCH_ROWS
    for _ in range(_MOST_BATCHES):
        deleted = await delete_short_windows(
            work.connection, before=before, kept=_WINDOWS_KEPT_OF_A_METER, limit=limit, dry_run=work.dry_run
        )
        number += deleted
        work.progress("short windows of meters", number)
        if deleted < limit or work.dry_run:
            break
    _tell(work, number, "short windows of meters")


async def prune_outlived_windows(work: Work) -> None:
    """Of meters whose limits are gone, and of the others what is not among their latest."""
    before = work.retention.ledger_from(work.now)
    if before is None:
        return
    number = 0
    place = WindowPlace()
    for _ in range(_MOST_BATCHES):
        page = await delete_outlived_windows(
            work.connection,
            place,
            before=before,
            kept=_WINDOWS_KEPT_OF_A_METER,
            limit=_BATCH_ROWS,
            dry_run=work.dry_run,
        )
        if page is None:
            break
        number += page.deleted
        place = page.last
        work.progress("windows of meters", number)
    _tell(work, number, "windows of meters")


async def _delete_in_batches(work: Work, rows: OldRows, before: datetime) -> int:
    number = 0
    for _ in range(_MOST_BATCHES):
        deleted = await delete_older(work.connection, rows, before=before, limit=_BATCH_ROWS)
        number += deleted
        if deleted < _BATCH_ROWS:
            break
        work.progress(f"rows of {rows.table}", number)
    return number


def _tell(work: Work, number: int, what: str) -> None:
    if number:
        work.tell(Step("delete", f"{number} {what}"))
