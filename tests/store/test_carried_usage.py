"""Usage carried into a changed period: it adds to the total, and stays told apart from what was charged there."""

from datetime import UTC, datetime

from service.domain.durations import parse_reset_duration
from service.domain.meters import Meter
from service.domain.windows import ResetRule, to_us, window_at
from service.store.ledger import record_usage
from service.store.limits import CarriedUsage, carry_usage
from service.store.postgres import Connection
from tests.factories import usage_event

NOW = datetime(2026, 3, 5, 12, tzinfo=UTC)
METER = Meter("budget:b", 2, ResetRule(parse_reset_duration("1d"), to_us(datetime(2026, 1, 1, tzinfo=UTC))))


async def test_what_is_carried_is_told_apart_however_it_comes_together(connection: Connection) -> None:
    start = window_at(METER.rule, NOW).start
    for number, carried in enumerate((40, 2)):
        await carry_usage(connection, [CarriedUsage(METER.id, METER.epoch, start, carried)])
        await record_usage(connection, [usage_event(f"r-{number}", ("customer:c", METER, 100), at=NOW)])
    totals = await connection.fetch("SELECT used, carried FROM meter_windows")
    assert [tuple(row) for row in totals] == [(242, 42)]
