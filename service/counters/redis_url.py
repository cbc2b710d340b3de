"""REDIS_URL: one server, the servers of a cluster, or the Sentinels that know which server is the primary."""

from collections.abc import Sequence
from typing import Any, Literal
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec
from redis.asyncio.connection import parse_url

_SENTINEL_OPTION = "sentinel_"
_DEFAULT_PORTS = {"single": 6379, "cluster": 6379, "sentinel": 26379}
Kind = Literal["single", "cluster", "sentinel"]


class Address(msgspec.Struct, frozen=True):
    """Where a server listens."""

    host: str
    port: int


class RedisUrl(msgspec.Struct, frozen=True):
    """What a URL says. `options` are redis-py's for every connection to a server, without its address."""

    kind: Kind
    addresses: Sequence[Address]
    options: dict[str, Any]
    primary_name: str = ""
    sentinel_options: dict[str, Any] = {}


def parse_redis_url(url: str) -> RedisUrl:
    """Raises ValueError when it cannot be understood.

    redis://host:6379/0, rediss:// for TLS and unix:///path are redis-py's own. redis+cluster://host:6379,host:6379
    names some servers of a cluster; redis+sentinel://host:26379,host:26379/name/0 some Sentinels, what they call the
    primary, and a database. User and password are those of the servers, `?sentinel_username=` and
    `?sentinel_password=` those of the Sentinels.
    """
    parts = urlsplit(url)
    scheme, _, kind = parts.scheme.partition("+")
    if kind == "":
        return RedisUrl("single", (), dict(parse_url(url)))
    if kind == "cluster":
        options = _options(scheme, parts, database="")
        return RedisUrl("cluster", _addresses(parts, "cluster"), options)
    if kind != "sentinel":
        raise ValueError("REDIS_URL is of no known kind")
    primary_name, _, database = parts.path.removeprefix("/").partition("/")
    options = _options(scheme, parts, database)
    sentinel_options = {
        name.removeprefix(_SENTINEL_OPTION): options.pop(name)
        for name in list(options)
        if name.startswith(_SENTINEL_OPTION)
    }
    return RedisUrl("sentinel", _addresses(parts, "sentinel"), options, unquote(primary_name), sentinel_options)


def _options(scheme: str, parts: SplitResult, database: str) -> dict[str, Any]:
    user, at, _ = parts.netloc.rpartition("@")
    return dict(parse_url(f"{scheme}://{user}{at}/{database}?{parts.query}"))


def _addresses(parts: SplitResult, kind: Kind) -> list[Address]:
    hosts = [urlsplit(f"//{host}") for host in parts.netloc.rpartition("@")[2].split(",")]
    if not all(host.hostname for host in hosts):
        raise ValueError("REDIS_URL names a host that is empty")
    return [Address(host.hostname or "", host.port or _DEFAULT_PORTS[kind]) for host in hosts]
