"""How long the inbox waits, and what it may hold of one site."""

from __future__ import annotations

from dataclasses import dataclass, field

from jobstore.inbox_records import Bounds
from runtime.settings import env_count, env_number

_DAY = 86400


@dataclass(frozen=True)
class InboxSettings:
    """quiet_seconds: without a new instance, before a complete series is submitted.

    limit_seconds: without a new instance, after which an incomplete one is given up.
    keep_seconds: for which the instances of a submitted study are kept, so that a late one finds the others.
    most_bytes, most_instances, most_studies: of one site at a time.
    """

    quiet_seconds: float = field(
        default_factory=lambda: env_number("INBOX_QUIET_SECONDS", 30, least=0.05, most=3600)
    )
    limit_seconds: float = field(
        default_factory=lambda: env_number("INBOX_LIMIT_SECONDS", 3600, least=0.05, most=7 * _DAY)
    )
    keep_seconds: float = field(
        default_factory=lambda: env_number("INBOX_KEEP_SECONDS", 3600, least=0, most=7 * _DAY)
    )
    most_bytes: int = field(default_factory=lambda: env_count("INBOX_BYTES", 16 << 30, least=1))
    most_instances: int = field(default_factory=lambda: env_count("INBOX_INSTANCES", 50_000, least=1))
    most_studies: int = field(default_factory=lambda: env_count("INBOX_STUDIES", 200, least=1))

    @property
    def bounds(self) -> Bounds:
        """Of one site."""
        return Bounds(self.most_bytes, self.most_instances, self.most_studies)

    @property
    def quiet_ms(self) -> int:
        """Milliseconds."""
        return int(self.quiet_seconds * 1000)

    @property
    def limit_ms(self) -> int:
        """Milliseconds; no shorter than the quiet time."""
        return max(int(self.limit_seconds * 1000), self.quiet_ms)

    @property
    def keep_ms(self) -> int:
        """Milliseconds."""
        return int(self.keep_seconds * 1000)
