"""Which addresses are of a trusted network: by what they are, however they are written."""

import pytest

from service.http.networks import Networks
from service.settings import parse_networks

NETWORKS = Networks(parse_networks("10.0.0.0/8, 192.0.2.7, fd00::/8"))


@pytest.mark.parametrize("address", ["10.1.2.3", "192.0.2.7", "fd00::1", "::ffff:10.1.2.3", "fd00::1%eth0"])
def test_an_address_of_a_network_is_in_it(address: str) -> None:
    assert NETWORKS.hold(address)
    assert NETWORKS.hold(address), "and is when it is asked for again"


@pytest.mark.parametrize("address", ["11.0.0.1", "192.0.2.8", "fe80::1", "::ffff:11.0.0.1", "a.sock", "", None])
def test_any_other_is_not(address: str | None) -> None:
    assert not NETWORKS.hold(address)


def test_without_networks_nobody_is_trusted() -> None:
    assert not Networks(parse_networks("")).hold("127.0.0.1")
