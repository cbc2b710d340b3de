"""window_start() in the database and window_at() in Python put the same windows on the same lattice."""

from datetime import UTC, datetime, timedelta
from random import Random

from service.domain.durations import parse_reset_duration
from service.domain.windows import ResetRule, from_us, to_us, window_at
from service.store.postgres import Connection

_DURATIONS = ("30s", "1h30m", "1d", "3d", "1w", "1M", "3M", "1Q", "1Y", "daily", "weekly", "monthly", "quarterly")
_ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "America/Santiago", "Pacific/Apia")
_QUERY = "SELECT window_start($1, $2, $3, $4, $5, $6)"


async def test_both_find_the_same_start(connection: Connection) -> None:
    random = Random(20261123)
    for _ in range(1500):
        duration = random.choice(_DURATIONS)
        rule = ResetRule(
            duration=parse_reset_duration(duration),
            anchored_us=to_us(_instant(random)),
            calendar_aligned=random.random() < 0.7,
            time_zone=random.choice(_ZONES),
            quarter_start_month=random.randint(1, 12),
        )
        now = _instant(random)
        found = await connection.fetchval(
            _QUERY,
            duration,
            from_us(rule.anchored_us),
            rule.calendar_aligned,
            rule.time_zone,
            rule.quarter_start_month,
            now,
        )
        assert found == window_at(rule, now).start, (duration, rule, now)


def _instant(random: Random) -> datetime:
    whole_years = datetime(2015, 1, 1, tzinfo=UTC)
    return whole_years + timedelta(microseconds=random.randrange(15 * 365 * 86_400 * 1_000_000))
