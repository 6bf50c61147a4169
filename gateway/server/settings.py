"""What the server reads from the environment at start; the application has its own (gateway.settings)."""

from __future__ import annotations

import resource
from dataclasses import dataclass, field

from gateway.server.proxies import TrustedProxies
from runtime.settings import env_count, env_text

_OTHER_FILES = 512
"""Descriptors kept for what is no client's connection: Redis, spooled bodies, sandboxes."""


@dataclass(frozen=True)
class ServerSettings:
    """How the gateway is served. Counts are those of one process.

    bind: addresses as `host:port` or `unix:/path`, with commas between.
    ops_bind: one more address, for /livez, /readyz and /metrics alone, with connections of its own; "": none.
    trusted_proxies: whose X-Forwarded-For and X-Forwarded-Proto are believed.
    connections, connections_each: in all and of one address; idle ones make room for newcomers.
    streams, waits, uploads: places for event streams, `Prefer: wait` and bodies on their way in.
    """

    bind: str = field(default_factory=lambda: env_text("BIND", "127.0.0.1:8080"))
    ops_bind: str = field(default_factory=lambda: env_text("OPS_BIND", ""))
    workers: int = field(default_factory=lambda: env_count("GATEWAY_WORKERS", 2, least=1, most=64))
    threads: int = field(default_factory=lambda: env_count("GATEWAY_THREADS", 16, least=1, most=256))
    trusted_proxies: TrustedProxies = field(
        default_factory=lambda: TrustedProxies.parse(env_text("TRUSTED_PROXIES", ""))
    )
    connections: int = field(default_factory=lambda: env_count("GATEWAY_CONNECTIONS", 4000, least=16))
    connections_each: int = field(
        default_factory=lambda: env_count("GATEWAY_CONNECTIONS_EACH", 2000, least=8)
    )
    streams: int = field(default_factory=lambda: env_count("GATEWAY_STREAMS", 256, least=1))
    waits: int = field(default_factory=lambda: env_count("GATEWAY_WAITS", 256, least=1))
    uploads: int = field(default_factory=lambda: env_count("GATEWAY_UPLOADS", 64, least=1))

    def ops_ports(self) -> frozenset[int]:
        """The port of `ops_bind`, if any."""
        _, _, port = self.ops_bind.rpartition(":")
        return frozenset({int(port)}) if port.isdigit() else frozenset()

    def connections_within_limits(self) -> int:
        """`connections`, or as many as this process may have descriptors for; takes all that it may have."""
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = self.connections + _OTHER_FILES
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < most:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        return max(8, min(self.connections, max(soft, most) - _OTHER_FILES))
