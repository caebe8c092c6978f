"""Which addresses the gateway may dial for somebody who gives it a URL. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final

__all__ = ["AddressGuard"]

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# `is_global` follows IANA's registries, in which these are "global" or absent. None of them is the
# address of a receiver on the internet, and some lead somewhere else than they say.
_DENIED: Final[tuple[Network, ...]] = tuple(
    ip_network(text)
    for text in (
        "192.0.0.0/24",  # protocol assignments, with anycast services among them
        "192.88.99.0/24",  # relays of 6to4
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
        "2001::/23",  # protocol assignments: Teredo holds an IPv4 address
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4 holds an IPv4 address
        "3fff::/20",  # documentation
    )
)
_UNICAST: Final = IPv6Network("2000::/3")
"""All that is given out of IPv6: outside are NAT64, IPv4-compatible, site-local, segments."""


class AddressGuard:
    """Admits public addresses, and those of networks that the operator allows."""

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        """Of networks in CIDR form."""
        self._allowed = [ip_network(text) for text in allowed]

    def admits(self, text: str) -> bool:
        """Whether an address may be dialled; it may have a zone, as in fe80::1%eth0."""
        try:
            address = _unmapped(ip_address(text))
        except ValueError:
            return False
        if any(_holds(network, address) for network in self._allowed):
            return True
        if isinstance(address, IPv6Address) and (address.scope_id or address not in _UNICAST):
            return False
        return address.is_global and not any(_holds(network, address) for network in _DENIED)


def _unmapped(address: Address) -> Address:
    """An IPv4 address that is written as IPv6 is dialled as IPv4, so it is judged as such."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _holds(network: Network, address: Address) -> bool:
    return network.version == address.version and address in network
