"""Networks that are trusted: by the address of who is connected, never by what a header says of it."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

from aiohttp import web

_MOST_REMEMBERED = 10_000


class Networks:
    """What was found of an address is remembered: gateways are few, and ask often."""

    def __init__(self, networks: Sequence[IPv4Network | IPv6Network]) -> None:
        self._networks = networks
        self._known: dict[str, bool] = {}

    def hold(self, address: str | None) -> bool:
        if address is None or not self._networks:
            return False
        known = self._known.get(address)
        if known is None:
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            known = self._known[address] = self._find(address)
        return known

    def _find(self, address: str) -> bool:
        try:
            parsed = ip_address(address.partition("%")[0])
        except ValueError:
            return False
        if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
            # Who speaks IPv4 to a socket that listens for both.
            parsed = parsed.ipv4_mapped
        return any(parsed in network for network in self._networks)


TRUSTED_NETWORKS = web.AppKey("trusted_networks", Networks)
