"""Addresses that a URL of somebody may and may not lead to."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.gateway.sinks.addresses import AddressGuard

PUBLIC = ["8.8.8.8", "93.184.216.34", "::ffff:8.8.8.8", "2606:4700:4700::1111", "2a00:1450::1"]
NOT_PUBLIC = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",  # carrier-grade NAT
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",  # metadata of clouds
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.9",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",  # IPv4-compatible
    "::8.8.8.8",
    "::ffff:0:0",
    "::ffff:7f00:1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:224.0.0.1",
    "::ffff:0:127.0.0.1",  # translated
    "64:ff9b::7f00:1",
    "64:ff9b::8.8.8.8",
    "64:ff9b:1::7f00:1",
    "100::1",
    "2001::1",
    "2001:0:7f00:1::",  # Teredo
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",  # 6to4
    "2002:808:808::",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00::1",
    "fd00:ec2::254",  # metadata of a cloud
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700:4700::1111%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "localhost",
    "",
    "127.1",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_admitted(address):
    assert AddressGuard().admits(address)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_what_is_not_public_is_refused(address):
    assert not AddressGuard().admits(address)


def test_networks_of_the_operator_are_admitted_and_no_others():
    guard = AddressGuard(["10.1.0.0/16", "fd00:1::/32"])
    assert guard.admits("10.1.2.3")
    assert guard.admits("::ffff:10.1.2.3")
    assert guard.admits("fd00:1::9")
    assert not guard.admits("10.2.0.1")
    assert not guard.admits("fd00:2::1")
    assert not guard.admits("::1")


@given(embedded=st.ip_addresses(v=4))
@settings(max_examples=100, deadline=None)
def test_an_ipv4_address_is_judged_alike_however_it_is_written(embedded):
    guard = AddressGuard()
    assert guard.admits(str(embedded)) == guard.admits(f"::ffff:{embedded}")
    for prefix in ("64:ff9b::", "::", "2002:"):
        wrapped = f"{prefix}{embedded}" if prefix != "2002:" else None
        wrapped = wrapped or str(ip_address(0x2002 << 112 | int(embedded) << 80))
        assert not guard.admits(wrapped)


@given(address=st.ip_addresses())
@settings(max_examples=200, deadline=None)
def test_nothing_is_admitted_that_python_does_not_call_global(address):
    if AddressGuard().admits(str(address)):
        address = getattr(address, "ipv4_mapped", None) or address
        assert address.is_global
        assert not address.is_multicast
        assert not address.is_reserved
