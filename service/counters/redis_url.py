"""REDIS_URL: one server, the servers of a cluster, or the Sentinels that know which server is the primary."""

import re
from collections.abc import Sequence
from typing import Any, Literal
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec
from redis.asyncio.connection import parse_url

# Servers are taken out before the URL is: to urllib a bracket may only follow the user.
_SERVERS = re.compile(r"(?P<before>[^:/?#]+://(?:[^/?#]*@)?)(?P<servers>[^/?#@]*)(?P<after>.*)", re.DOTALL)
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
    scheme, _, kind = url.partition(":")[0].lower().partition("+")
    if kind == "":
        return RedisUrl("single", (), dict(parse_url(url)))
    found = _SERVERS.fullmatch(url)
    if found is None or kind not in ("cluster", "sentinel"):
        raise ValueError("REDIS_URL is of no known kind")
    parts = urlsplit(found["before"] + found["after"])
    if kind == "cluster":
        options = _options(scheme, parts, database="")
        return RedisUrl("cluster", _addresses(found["servers"], "cluster"), options)
    primary_name, _, database = parts.path.removeprefix("/").partition("/")
    options = _options(scheme, parts, database)
    sentinel_options = {
        name.removeprefix(_SENTINEL_OPTION): options.pop(name)
        for name in list(options)
        if name.startswith(_SENTINEL_OPTION)
    }
    addresses = _addresses(found["servers"], "sentinel")
    return RedisUrl("sentinel", addresses, options, unquote(primary_name), sentinel_options)


def _options(scheme: str, parts: SplitResult, database: str) -> dict[str, Any]:
    return dict(parse_url(f"{scheme}://{parts.netloc}/{database}?{parts.query}"))


def _addresses(servers: str, kind: Kind) -> list[Address]:
    hosts = [urlsplit(f"//{host}") for host in servers.split(",")]
    if not all(host.hostname for host in hosts):
        raise ValueError("REDIS_URL names a host that is empty")
    return [Address(host.hostname or "", host.port or _DEFAULT_PORTS[kind]) for host in hosts]
