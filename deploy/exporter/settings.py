"""What the exporter reads from the environment."""

from __future__ import annotations

from dataclasses import dataclass, field

from runtime.settings import Shared, env_count, env_number, env_text


@dataclass(frozen=True)
class Settings(Shared):
    """Shared settings plus where to answer.

    most_sites: sites with a label of their own; the others are summed under "other".
    line_seconds: longest wait for one answer of Redis.
    """

    bind: str = field(default_factory=lambda: env_text("METRICS_BIND", "127.0.0.1"))
    port: int = field(default_factory=lambda: env_count("EXPORTER_PORT", 8090, least=1, most=65535))
    most_sites: int = field(default_factory=lambda: env_count("EXPORTER_SITES", 50, least=1, most=1000))
    line_seconds: float = field(default_factory=lambda: env_number("LINE_SECONDS", 2, least=0.05, most=30))
