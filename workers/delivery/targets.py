"""Which addresses a webhook may reach: public ones, and networks the operator allows by name."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence

from workers.settings import IpNetwork

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_FORBIDDEN = tuple(
    ipaddress.ip_network(text)
    for text in (
        "100.64.0.0/10",  # carrier-grade NAT, RFC 6598
        "192.88.99.0/24",  # 6to4 relays, RFC 7526
        "2002::/16",  # 6to4, RFC 3056
        "2001::/32",  # Teredo, RFC 4380
        "3fff::/20",  # documentation, RFC 9637
        "2001::/23",  # IETF protocol assignments, RFC 2928
    )
)
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")


class TargetRefused(Exception):  # noqa: N818  named for what happened, as in contracts.errors
    """The name leads to an address that webhooks must not reach."""


def is_public(address: IpAddress) -> bool:
    """True for a unicast address of the open internet; of IPv6, only what is given out for it (2000::/3)."""
    if address.is_multicast or not address.is_global:
        return False
    if address.version == 6 and address not in _GLOBAL_UNICAST:
        return False
    return not any(address in network for network in _FORBIDDEN if network.version == address.version)


def resolve(host: str, port: int, *, allow: Sequence[IpNetwork]) -> list[IpAddress]:
    """All addresses of the name, checked; TargetRefused if any is forbidden, OSError if it has none.

    One forbidden address among good ones refuses all: that mixture is how rebinding starts.
    """
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    found = list(dict.fromkeys(_plain(str(info[4][0])) for info in infos))
    for address in found:
        if not is_public(address) and not any(address in n for n in allow if n.version == address.version):
            raise TargetRefused(f"{address} is not a public address")
    return found


def _plain(text: str) -> IpAddress:
    """::ffff:10.0.0.1 is 10.0.0.1, and fe80::1%eth0 is fe80::1."""
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
