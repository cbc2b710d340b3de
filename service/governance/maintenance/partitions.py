"""The ledger's partitions.

Days ahead get one before they come, what landed in the default one is moved to its day's, and those that are older than
the ledger is kept are dropped.
"""

from datetime import timedelta
from functools import partial

from service.governance.maintenance.work import Step, Work, midnight
from service.store.ledger_days import (
    add_day,
    count_in_default,
    drop_partition,
    list_days_in_default,
    list_missing_days,
    list_outdated_partitions,
    move_day,
    vacuum_default_partition,
)

# Longer after its end than any transaction that books usage takes, and than clocks are apart.
_DAY_IS_OVER_AFTER = timedelta(hours=1)
_MOST_DAYS_MOVED = 1000
_MOST_COUNTED = 1_000_000


async def add_partitions(work: Work) -> None:
    for day in await list_missing_days(work.connection, now=work.now):
        if work.dry_run:
            can_be = await count_in_default(work.connection, day, at_most=1) == 0
        else:
            can_be = await add_day(work.connection, day)
        if can_be:
            work.tell(Step("add", f"the ledger's partition of {day}"))


async def drop_partitions(work: Work) -> None:
    before = work.retention.ledger_from(work.now)
    if before is None:
        return
    for partition in await list_outdated_partitions(work.connection, before=before):
        if not work.dry_run:
            await drop_partition(work.connection, partition.name)
        work.tell(Step("drop", f"{partition.name}, of usage recorded before {partition.to_at:%Y-%m-%d %H:%M} UTC"))


async def move_strays(work: Work) -> None:
    """Of days that are over and kept; today's stay in the default partition until it is over."""
    over = (work.now - _DAY_IS_OVER_AFTER).date()
    kept_from = work.retention.ledger_from(work.now)
    found = await list_days_in_default(work.connection, before=over, limit=_MOST_DAYS_MOVED)
    days = [day for day in found if kept_from is None or midnight(day) >= kept_from]
    for day in days:
        what = f"the ledger's partition of {day}"
        if work.dry_run:
            moved = await count_in_default(work.connection, day, at_most=_MOST_COUNTED)
        else:
            moved = await move_day(work.connection, day, progress=partial(work.progress, f"moved to {what}"))
        work.tell(Step("move", f"{moved} events to {what}"))
    if days and not work.dry_run:
        await vacuum_default_partition(work.connection)
