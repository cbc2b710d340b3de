"""What a deployment must be like: each check takes what was found, and says whether it is well and what to do."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from service.domain.access import ApiToken

Level = Literal["ok", "warn", "fail"]

_OLDEST_POSTGRES = 15
_OLDEST_REDIS = (7, 0)
# Windows and expiries are of the replicas' clocks, and compared with each other: what is less than a request takes
# does not matter, what is longer than a short window does.
_SKEW_TO_WARN_SECONDS = 0.5
_SKEW_TO_FAIL_SECONDS = 5.0
_NEARLY_FULL = 0.8


class Finding(msgspec.Struct, frozen=True):
    """`advice` is what to do about what is not ok."""

    level: Level
    check: str
    says: str
    advice: str = ""


class Clock(msgspec.Struct, frozen=True):
    """How far a server's clock is ahead of this machine's, as exactly as the round trip allows."""

    ahead_seconds: float
    round_trip_seconds: float


class PostgresFacts(msgspec.Struct, frozen=True, kw_only=True):
    """`room` is how many connections the user may have to the database, `others` how many clients have now."""

    version_number: int
    version: str
    room: int
    others: int
    is_standby: bool
    is_durable: bool
    clock: Clock


class RedisFacts(msgspec.Struct, frozen=True, kw_only=True):
    """`max_memory_bytes` 0 is no limit; `max_clients` 0 is not known."""

    name: str
    version: str
    role: str
    max_memory_bytes: int
    used_memory_bytes: int
    eviction_policy: str
    keeps_file: bool
    file_is_written: bool
    max_clients: int
    clock: Clock


class Pools(msgspec.Struct, frozen=True):
    """How many processes there are in all, and how many connections each may have to a store."""

    workers: int
    replicas: int
    per_worker: int

    @property
    def size(self) -> int:
        return self.per_worker * self.workers * self.replicas

    def __str__(self) -> str:
        return f"{self.per_worker} × {self.workers} workers × {self.replicas} replicas = {self.size}"


class Opened(msgspec.Struct, frozen=True):
    """Of a sample of what is sealed, how much opens."""

    opened: int
    sampled: int


def check_postgres(facts: PostgresFacts, pools: Pools) -> Iterator[Finding]:
    yield _version(
        "postgres version", facts.version, facts.version_number // 10_000 >= _OLDEST_POSTGRES, "Postgres 15 or newer"
    )
    if facts.is_standby:
        yield Finding("fail", "postgres role", "a read-only standby", "point DATABASE_URL at the primary")
    else:
        yield Finding("ok", "postgres role", "takes writes")
    if facts.is_durable:
        yield Finding("ok", "postgres durability", "a commit is on disk when it is acknowledged")
    else:
        yield Finding(
            "fail",
            "postgres durability",
            "fsync or synchronous_commit is off",
            "turn both on: usage that was acknowledged can be lost",
        )
    yield _connections("postgres connections", pools, room=facts.room - facts.others, setting="DATABASE")
    yield _clock("postgres clock", facts.clock)


def check_redis(facts: RedisFacts, pools: Pools) -> Iterator[Finding]:
    new_enough = facts.name == "valkey" or _numbers(facts.version) >= _OLDEST_REDIS
    yield _version("redis version", f"{facts.name} {facts.version}", new_enough, "Valkey, or Redis 7.0 or newer")
    if facts.role in ("slave", "replica"):
        yield Finding("fail", "redis role", "a read-only replica", "point REDIS_URL at the primary")
    else:
        yield Finding("ok", "redis role", facts.role)
    yield _eviction(facts)
    yield _memory(facts)
    yield _append_only_file(facts)
    if facts.max_clients:
        yield _connections("redis connections", pools, room=facts.max_clients, setting="REDIS")
    yield _clock("redis clock", facts.clock)


def check_migrations(missing: Sequence[str], unknown: Collection[str]) -> Finding:
    """`missing` are those the database lacks, `unknown` those it has and this version does not."""
    if missing:
        says = f"{len(missing)} to apply, from {missing[0]} on"
        return Finding("fail", "migrations", says, "run `governance migrate`")
    if unknown:
        return Finding("ok", "migrations", f"all applied, and {len(unknown)} of a newer version")
    return Finding("ok", "migrations", "all applied")


def check_encryption_key(opened: Opened) -> Finding:
    says = f"opens {opened.opened} of {opened.sampled} stored secrets looked at"
    if opened.sampled and not opened.opened:
        return Finding("fail", "encryption key", says, "set GOVERNANCE_ENCRYPTION_KEY to the key they were sealed with")
    if opened.opened < opened.sampled:
        return Finding("warn", "encryption key", says, "rotate the virtual keys, or set the secrets, that do not open")
    return Finding("ok", "encryption key", says if opened.sampled else "nothing is sealed yet")


def check_tokens(
    tokens: Sequence[ApiToken], *, asked_for: bool, has_admin_token: bool, is_loopback: bool, now: datetime
) -> Finding:
    """Does someone get in, and only who should?"""
    if not asked_for:
        level: Level = "ok" if is_loopback else "warn"
        return Finding(
            level,
            "API tokens",
            "not asked for: who reaches the service may do everything",
            "" if is_loopback else "GOVERNANCE_AUTH=on, unless a gateway in front of it decides who comes through",
        )
    active = [token for token in tokens if token.state(now) == "active"]
    if not active and not has_admin_token:
        advice = "`governance token create --name ops --scope admin`, or set GOVERNANCE_ADMIN_TOKEN"
        return Finding("fail", "API tokens", "asked for, and there is none in force", advice)
    scopes = sorted({token.scope for token in active} | ({"admin"} if has_admin_token else set()))
    return Finding("ok", "API tokens", f"in force for the scopes {', '.join(scopes)}")


def _version(check: str, version: str, new_enough: bool, needed: str) -> Finding:
    return Finding("ok", check, version) if new_enough else Finding("fail", check, version, f"upgrade to {needed}")


def _connections(check: str, pools: Pools, *, room: int, setting: str) -> Finding:
    says = f"pools may take {pools}, there is room for {room}"
    advice = f"lower GOVERNANCE_{setting}_POOL_SIZE, workers or replicas, or allow more connections there"
    if pools.size > room:
        return Finding("fail", check, says, advice)
    return Finding("warn", check, says, advice) if pools.size > room * _NEARLY_FULL else Finding("ok", check, says)


def _clock(check: str, clock: Clock) -> Finding:
    # What the round trip leaves open is not held against it.
    skew_seconds = max(0.0, abs(clock.ahead_seconds) - clock.round_trip_seconds / 2)
    direction = "ahead of" if clock.ahead_seconds > 0 else "behind"
    says = f"{skew_seconds:.3f} s {direction} this machine's" if skew_seconds else "the same as this machine's"
    advice = "synchronise the clocks (NTP): windows would begin and holds expire at different moments"
    if skew_seconds >= _SKEW_TO_FAIL_SECONDS:
        return Finding("fail", check, says, advice)
    return Finding("warn", check, says, advice) if skew_seconds >= _SKEW_TO_WARN_SECONDS else Finding("ok", check, says)


def _eviction(facts: RedisFacts) -> Finding:
    if facts.eviction_policy == "noeviction":
        return Finding("ok", "redis eviction", "maxmemory-policy noeviction")
    advice = "set maxmemory-policy noeviction: what is evicted forgets the calls under way, and budgets are overspent"
    level: Level = "fail" if facts.max_memory_bytes else "warn"
    return Finding(level, "redis eviction", f"maxmemory-policy {facts.eviction_policy}", advice)


def _memory(facts: RedisFacts) -> Finding:
    if not facts.max_memory_bytes:
        return Finding("ok", "redis memory", f"{_mib(facts.used_memory_bytes)} used, no maxmemory")
    says = f"{_mib(facts.used_memory_bytes)} of {_mib(facts.max_memory_bytes)} used"
    if facts.used_memory_bytes > facts.max_memory_bytes * _NEARLY_FULL:
        return Finding("warn", "redis memory", says, "raise maxmemory: when it is full, Redis refuses to count")
    return Finding("ok", "redis memory", says)


def _append_only_file(facts: RedisFacts) -> Finding:
    if not facts.keeps_file:
        advice = (
            "set appendonly yes: after a restart calls under way and limits shorter than an hour start from nothing"
        )
        return Finding("warn", "redis append-only file", "off", advice)
    if not facts.file_is_written:
        return Finding("fail", "redis append-only file", "the last write failed", "look at its disk")
    return Finding("ok", "redis append-only file", "on")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / 1024 / 1024:.0f} MiB"
