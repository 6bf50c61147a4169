"""What the infer, deliver and maintain consumers read from the environment."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from contracts.states import LONGEST_WORK_SECONDS
from runtime.known_models import known_models
from runtime.settings import SettingError, Shared, env_count, env_flag, env_number, env_text

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


def _networks() -> tuple[IpNetwork, ...]:
    texts = [part.strip() for part in env_text("WEBHOOK_ALLOW", "").split(",") if part.strip()]
    try:
        return tuple(ipaddress.ip_network(text) for text in texts)
    except ValueError as error:
        raise SettingError(f"HIPPOCAMP_WEBHOOK_ALLOW: {error}") from None


def _file(name: str) -> Path | None:
    text = env_text(name, "")
    return Path(text) if text else None


@dataclass(frozen=True)
class Settings(Shared):
    """Shared settings plus the model server's and the webhooks'.

    model_server: address of TorchServe, or several with commas between them.
    model_reads_blobs: it reads the blob store's folder, which its own HIPPOCAMP_BLOBS names.
    model_token_file: where TorchServe writes the token that its callers need; None: it asks for none.
    infer_batch: most volumes of one request to the model server.
    model_seconds: longest wait for its answer.
    known_models: digests of the models that may answer; any other is refused.
    most_distance: from the training data; a volume beyond is refused, 0 refuses none. 1 is the 99th centile
        of left-out training subjects.
    canary_seconds: age of the last heartbeat after which the model server gets a canary request.
    webhook_seconds: whole time one delivery may take, from resolving the name to the status line.
    webhook_allow: networks that webhooks may reach although they are not public.
    retention_seconds: how long ended jobs of a site without a retention of its own are kept; 0: always.
    stop_seconds: time a running task gets to finish after SIGTERM.
    """

    model_server: str = field(default_factory=lambda: env_text("MODEL_SERVER", "http://127.0.0.1:8085"))
    model_reads_blobs: bool = field(default_factory=lambda: env_flag("MODEL_READS_BLOBS", default=False))
    model_seconds: float = field(
        default_factory=lambda: env_number("MODEL_TIMEOUT_SECONDS", 60, least=0.1, most=3600)
    )
    model_token_file: Path | None = field(default_factory=lambda: _file("MODEL_TOKEN_FILE"))
    infer_batch: int = field(default_factory=lambda: env_count("INFER_BATCH", 4, least=1, most=256))
    known_models: frozenset[str] = field(default_factory=known_models)
    most_distance: float = field(default_factory=lambda: env_number("MOST_DISTANCE", 3.0))
    canary_seconds: float = field(default_factory=lambda: env_number("CANARY_SECONDS", 20, least=1))
    webhook_seconds: float = field(
        default_factory=lambda: env_number("WEBHOOK_TIMEOUT_SECONDS", 10, least=0.1, most=60)
    )
    webhook_allow: tuple[IpNetwork, ...] = field(default_factory=_networks)
    retention_seconds: int = field(default_factory=lambda: env_count("RETENTION_SECONDS", 30 * 86400))
    stop_seconds: float = field(default_factory=lambda: env_number("STOP_SECONDS", 8, least=0, most=600))

    @property
    def model_servers(self) -> list[str]:
        """Every address of `model_server`; SettingError when there is none or one makes no sense."""
        urls = [part.strip().rstrip("/") for part in self.model_server.split(",") if part.strip()]
        wrong = [url for url in urls if not url.startswith(("http://", "https://"))]
        if wrong or not urls or len(set(urls)) < len(urls):
            raise SettingError(f"HIPPOCAMP_MODEL_SERVER={self.model_server!r}: http:// addresses, each once")
        return urls

    def __post_init__(self) -> None:
        if self.infer_limit_seconds > LONGEST_WORK_SECONDS:
            raise SettingError(
                f"HIPPOCAMP_MODEL_TIMEOUT_SECONDS={self.model_seconds:g} and HIPPOCAMP_INFER_BATCH="
                f"{self.infer_batch}: a bisected batch may take {self.infer_limit_seconds:g} s,"
                f" more than {LONGEST_WORK_SECONDS}"
            )

    @property
    def infer_limit_seconds(self) -> float:
        """Longest a batch can take: every request of a full bisection times out, with one control."""
        return self.model_seconds * (2 * self.infer_batch + 2) + 60
