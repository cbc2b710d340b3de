"""Whether those who are given a URL can take it apart."""

import ipaddress
import re
from collections.abc import Callable
from urllib.parse import urlsplit

_HOST = re.compile(r"(\[(?P<ipv6>[^]]*)\]|[^:\[\]]*)(:(?P<port>[0-9]{1,5}))?")
_LAST_PORT = 65_535


def is_url(url: str) -> bool:
    """False for what libraries would trip over later, with a part of the password in their words."""
    scheme, _, rest = url.partition("://")
    user, _, hosts = re.split("[/?#]", rest, maxsplit=1)[0].rpartition("@")
    if "#" in url or "[" in user or "]" in user:
        return False
    # Clusters and Sentinels are taken apart by us; urllib knows no brackets but those of the first host.
    return all(map(_is_host, hosts.split(","))) and ("+" in scheme or not _is_fault_to(urlsplit, url))


def _is_host(host: str) -> bool:
    """Or none at all, with a port or without."""
    found = _HOST.fullmatch(host)
    if found is None or int(found["port"] or 0) > _LAST_PORT:
        return False
    return found["ipv6"] is None or not _is_fault_to(ipaddress.IPv6Address, found["ipv6"])


def _is_fault_to(parse: Callable[[str], object], text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return True
    return False
