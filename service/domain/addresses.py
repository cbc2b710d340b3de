"""Which addresses a webhook may be sent to: what it names is for operators to say, and not to reach this network by."""

import ipaddress
from ipaddress import IPv4Address, IPv6Address

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_CARRIER_NAT = ipaddress.IPv4Network("100.64.0.0/10")
# Where clouds tell a machine its credentials, beside the link-local address: they stay closed to all.
_METADATA = frozenset(
    map(ipaddress.ip_address, ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"))
)


def may_be_sent_to(text: str, *, allow_private: bool) -> bool:
    """Whether an address is a public one; `allow_private` admits those of private networks and of this machine.

    Link-local addresses, metadata services, multicast and what is no address of a host are never admitted.
    """
    try:
        address = _inner(ipaddress.ip_address(text))
    except ValueError:
        return False
    if address in _METADATA or address.is_link_local or address.is_multicast or address.is_unspecified:
        return False
    if isinstance(address, IPv6Address) and address.is_site_local:
        return allow_private
    if address.is_loopback or address.is_private or (isinstance(address, IPv4Address) and address in _CARRIER_NAT):
        return allow_private
    return address.is_global and not address.is_reserved


def _inner(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address an IPv6 one leads to, if it does."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
