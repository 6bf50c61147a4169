"""Addresses whose X-Forwarded-For and X-Forwarded-Proto are believed."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from runtime.settings import SettingError


@dataclass(frozen=True)
class TrustedProxies:
    """Networks of reverse proxies; what comes over a Unix socket has passed one if it passed anything."""

    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> TrustedProxies:
        """From addresses and networks with commas between; SettingError."""
        try:
            parts = [part.strip() for part in text.split(",") if part.strip()]
            return cls(tuple(ipaddress.ip_network(part) for part in parts))
        except ValueError as error:
            raise SettingError(
                f"HIPPOCAMP_TRUSTED_PROXIES={text!r} wants addresses or networks, such as 10.0.0.0/8: {error}"
            ) from None

    def holds(self, address: str) -> bool:
        """Whether the address is one of them; "" stands for a Unix socket."""
        if not address:
            return True
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(found in network for network in self.networks)

    def __str__(self) -> str:
        return ",".join(map(str, self.networks))
