"""Webhooks go to public addresses; to private ones when that is allowed, and to none that tells credentials."""

import pytest

from service.domain.addresses import may_be_sent_to

PUBLIC = (
    *("8.8.8.8", "93.184.216.34", "172.15.255.255", "172.32.0.1", "192.167.255.255", "100.63.255.255"),
    *("2606:4700:4700::1111", "2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"),
)
PRIVATE = (
    *("127.0.0.1", "127.255.255.254", "::1", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255"),
    *("192.168.0.1", "100.64.0.1", "fc00::1", "fd12:3456::1", "fec0::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1"),
    *("64:ff9b::a00:1", "64:ff9b::7f00:1", "2002:a00:1::", "::ffff:a00:1"),
)
NEVER = (
    *("169.254.169.254", "169.254.0.1", "fe80::1", "fe80::1%eth0", "fd00:ec2::254", "100.100.100.200"),
    *("168.63.129.16", "192.0.0.192", "0.0.0.0", "::", "224.0.0.1", "239.255.255.255", "ff02::1"),
    *("::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::", "::ffff:0.0.0.0"),
    *("not an address", "", "localhost", "1"),
)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_may_be_sent_to(address: str) -> None:
    assert may_be_sent_to(address, allow_private=False)


@pytest.mark.parametrize("address", PRIVATE)
def test_a_private_address_may_be_sent_to_when_that_is_allowed(address: str) -> None:
    assert not may_be_sent_to(address, allow_private=False)
    assert may_be_sent_to(address, allow_private=True)


@pytest.mark.parametrize("address", NEVER)
def test_these_are_never_sent_to(address: str) -> None:
    assert not may_be_sent_to(address, allow_private=False)
    assert not may_be_sent_to(address, allow_private=True)


@pytest.mark.parametrize("address", ["240.0.0.1", "255.255.255.255", "::10.0.0.1", "2001:db8::1", "192.0.2.1"])
def test_what_is_no_host_s_address_is_not_public(address: str) -> None:
    assert not may_be_sent_to(address, allow_private=False)
