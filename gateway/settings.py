"""What the gateway reads from the environment, once, at start."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from gateway.dicomweb.settings import InboxSettings
from gateway.uploads.sanitize.task import Limits
from jobstore.sites import NAME
from runtime.audit import MOST_BYTES
from runtime.settings import SettingError, Shared, env_count, env_number, env_text


def sandbox_limits() -> Limits:
    """As the environment sets them."""
    plain = Limits()
    return Limits(
        memory_bytes=env_count("SANDBOX_MEMORY_BYTES", plain.memory_bytes, least=256 << 20),
        cpu_seconds=env_count("SANDBOX_CPU_SECONDS", plain.cpu_seconds, least=1, most=3600),
        wall_seconds=env_number("SANDBOX_SECONDS", plain.wall_seconds, least=1, most=3600),
        at_once=env_count("SANDBOX_AT_ONCE", plain.at_once, least=1, most=256),
        wait_seconds=env_number("SANDBOX_WAIT_SECONDS", plain.wait_seconds, least=0, most=3600),
    )


_CARD = Path(__file__).resolve().parents[1] / "model_store" / "release" / "current" / "CARD.md"
"""Where it lies in the repository and in the images."""


def _site() -> str:
    name = env_text("SITE", "local")
    if not NAME.fullmatch(name):
        raise SettingError(
            f"HIPPOCAMP_SITE={name!r}: lower-case letters, digits and inner hyphens, 40 at most"
        )
    return name


@dataclass(frozen=True)
class Settings(Shared):
    """Everything the gateway can be told.

    max_upload_bytes: largest body of one volume.
    most_waiting: jobs that may wait before submitters are told 503 `unavailable.backlog`.
    line_seconds: how long one question to Redis may take before the caller is told 503.
    bind: addresses the server listens on; without keys only this
        machine is served, and only while no site is configured.
    audit: the audit log; beside the folder of the blobs unless it is named. audit_bytes: of one of its files.
    uid_secret: with it the UIDs of DICOM uploads are mapped; without it they are kept, so that reports can
        point back into the PACS.
    public_blobs: address of the bucket's server as uploaders see it, for direct uploads; "" when it is ours.
    operators: sites whose admins see all sites' figures on the page for operators; others see their own.
    model_card: the card that the page shows (Markdown).
    sandbox: what reading one upload may cost, and how many one process has read at a time.
    inbox: how long DICOM instances are collected, and how much of one site.
    health_seconds: age above which a worker's or model server's last proof of life counts as stale.
    """

    audit: str = field(default_factory=lambda: env_text("AUDIT", ""))
    audit_bytes: int = field(default_factory=lambda: env_count("AUDIT_BYTES", MOST_BYTES, least=1 << 16))
    bind: str = field(default_factory=lambda: env_text("BIND", "127.0.0.1:8080"))
    site: str = field(default_factory=_site)
    max_upload_bytes: int = field(default_factory=lambda: env_count("MAX_UPLOAD_BYTES", 1 << 30, least=1))
    most_waiting: int = field(default_factory=lambda: env_count("MOST_WAITING", 100_000, least=1))
    line_seconds: float = field(default_factory=lambda: env_number("LINE_SECONDS", 0.8, least=0.05, most=30))
    uid_secret: str = field(default_factory=lambda: env_text("UID_SECRET", ""), repr=False)
    public_blobs: str = field(default_factory=lambda: env_text("PUBLIC_BLOBS_ENDPOINT", ""))
    operators: str = field(default_factory=lambda: env_text("OPERATORS", ""))
    model_card: Path = field(default_factory=lambda: Path(env_text("MODEL_CARD", str(_CARD))))
    sandbox: Limits = field(default_factory=sandbox_limits)
    inbox: InboxSettings = field(default_factory=InboxSettings)
    health_seconds: float = field(default_factory=lambda: env_number("HEALTH_SECONDS", 120, least=1))

    @property
    def audit_file(self) -> Path:
        """Where the audit log lies; SettingError when the blobs are in a bucket and nothing was named."""
        if self.audit:
            return Path(self.audit)
        if "://" in self.blobs:
            raise SettingError("HIPPOCAMP_AUDIT must name a file when HIPPOCAMP_BLOBS is no folder")
        return Path(self.blobs).parent / "audit.jsonl"
