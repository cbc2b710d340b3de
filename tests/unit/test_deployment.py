"""The checks no server at hand provokes: versions too old, roles, a file that cannot be written."""

import msgspec
import pytest

from service.domain.deployment import Clock, Pools, PostgresFacts, RedisFacts, check_postgres, check_redis

CLOCK = Clock(0, 0.001)
POOLS = Pools(workers=1, replicas=1, per_worker=8)
POSTGRES = PostgresFacts(
    version_number=150008, version="15.8", room=97, others=0, is_standby=False, is_durable=True, clock=CLOCK
)
REDIS = RedisFacts(
    name="redis",
    version="7.0.15",
    role="master",
    max_memory_bytes=0,
    used_memory_bytes=1,
    eviction_policy="noeviction",
    keeps_file=True,
    file_is_written=True,
    max_clients=10_000,
    clock=CLOCK,
)


def levels_of_postgres(**changes: object) -> dict[str, str]:
    return {
        finding.check: finding.level
        for finding in check_postgres(msgspec.structs.replace(POSTGRES, **changes), POOLS)
        if finding.level != "ok"
    }


def levels_of_redis(**changes: object) -> dict[str, str]:
    return {
        finding.check: finding.level
        for finding in check_redis(msgspec.structs.replace(REDIS, **changes), POOLS)
        if finding.level != "ok"
    }


def test_what_is_well_is_ok() -> None:
    assert levels_of_postgres() == levels_of_redis() == {}


def test_versions_too_old_fail() -> None:
    assert levels_of_postgres(version_number=140011, version="14.11") == {"postgres version": "fail"}
    assert levels_of_redis(version="6.2.14") == {"redis version": "fail"}
    assert levels_of_redis(version="7.0.0") == levels_of_redis(version="10.1") == {}
    assert levels_of_redis(name="valkey", version="8.0.1") == {}


def test_a_standby_fails() -> None:
    assert levels_of_postgres(is_standby=True) == {"postgres role": "fail"}


@pytest.mark.parametrize(("room", "level"), [(7, "fail"), (8, "warn"), (10, None)])
def test_pools_must_fit_with_some_room_to_spare(room: int, level: str | None) -> None:
    assert levels_of_postgres(room=room).get("postgres connections") == level


def test_a_file_that_cannot_be_written_fails() -> None:
    assert levels_of_redis(file_is_written=False) == {"redis append-only file": "fail"}


def test_a_limit_of_clients_that_is_not_known_is_not_judged() -> None:
    assert "redis connections" not in {finding.check for finding in check_redis(REDIS_OF_UNKNOWN_LIMIT, POOLS)}


def test_a_slow_network_is_no_wrong_clock() -> None:
    assert levels_of_redis(clock=Clock(0.6, 0.4)) == {}
    assert levels_of_redis(clock=Clock(0.6, 0.1)) == {"redis clock": "warn"}


REDIS_OF_UNKNOWN_LIMIT = msgspec.structs.replace(REDIS, max_clients=0)
