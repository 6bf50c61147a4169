"""Where the local system keeps its files, which ports it takes and how many processes it starts."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from deploy.local.ports import free_ports
from runtime.known_models import digest_in
from runtime.settings import env_count, env_number, env_text

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Loopback ports; the defaults stay clear of the services' usual ones."""

    gateway: int = field(default_factory=lambda: _port("GATEWAY_PORT", 8000))
    redis: int = field(default_factory=lambda: _port("REDIS_PORT", 6390))
    model_server: int = field(default_factory=lambda: _port("MODEL_SERVER_PORT", 8085))
    model_metrics: int = field(default_factory=lambda: _port("MODEL_METRICS_PORT", 8087))
    model_grpc: int = field(default_factory=lambda: _port("MODEL_GRPC_PORT", 8088))
    model_grpc_management: int = field(default_factory=lambda: _port("MODEL_GRPC_MANAGEMENT_PORT", 8089))
    exporter: int = field(default_factory=lambda: _port("EXPORTER_PORT", 8090))
    preprocess_metrics: int = field(default_factory=lambda: _port("PREPROCESS_METRICS_PORT", 8091))
    infer_metrics: int = field(default_factory=lambda: _port("INFER_METRICS_PORT", 8092))
    deliver_metrics: int = field(default_factory=lambda: _port("DELIVER_METRICS_PORT", 8093))
    maintain_metrics: int = field(default_factory=lambda: _port("MAINTAIN_METRICS_PORT", 8094))

    @classmethod
    def free(cls) -> Ports:
        """Ports that nobody holds right now, for a second system beside the first."""
        names = [item.name for item in fields(cls)]
        return cls(**dict(zip(names, free_ports(len(names)), strict=True)))


def _port(name: str, default: int) -> int:
    return env_count(name, default, least=1, most=65535)


def _folders(name: str) -> tuple[Path, ...]:
    return tuple(Path(part.strip()).resolve() for part in env_text(name, "").split(",") if part.strip())


def _cores() -> int:
    return len(os.sched_getaffinity(0))


@dataclass(frozen=True, kw_only=True)
class LocalSettings:
    """One local system. `folder` holds everything it writes; removing it forgets the system.

    model_threads: of TorchServe's worker; 0: what model_store/serving.yaml says.
    releases: of models to be served beside the one of this repository.
    log_bytes: of one log, before it is put aside.
    """

    folder: Path = field(default_factory=lambda: Path(env_text("RUN", str(ROOT / ".run"))).resolve())
    ports: Ports = field(default_factory=Ports)
    preprocess_processes: int = field(
        default_factory=lambda: env_count("PREPROCESS_PROCESSES", _cores(), least=1)
    )
    infer_processes: int = field(default_factory=lambda: env_count("INFER_PROCESSES", 2, least=1))
    gateway_threads: int = field(default_factory=lambda: env_count("GATEWAY_THREADS", 16, least=1))
    model_threads: int = field(default_factory=lambda: env_count("MODEL_THREADS", 0))
    releases: tuple[Path, ...] = field(default_factory=lambda: _folders("MODEL_RELEASES"))
    log_bytes: int = field(default_factory=lambda: env_count("LOG_BYTES", 32 << 20, least=1 << 16))
    redis_fsync: str = field(default_factory=lambda: env_text("REDIS_FSYNC", "always"))
    start_seconds: float = field(default_factory=lambda: env_number("START_SECONDS", 180, least=5))
    extra: dict[str, str] = field(default_factory=dict)

    def beside(self, folder: Path, **extra: str) -> LocalSettings:
        """The same system in another folder and on free ports, with more environment for its services."""
        return replace(self, folder=folder, ports=Ports.free(), extra={**self.extra, **extra})

    @property
    def gateway_url(self) -> str:
        """Address of the API and the page."""
        return f"http://127.0.0.1:{self.ports.gateway}"

    def environment(self) -> dict[str, str]:
        """What every service reads: the machine's environment and the addresses of the others."""
        ours = {
            "HIPPOCAMP_REDIS_URL": f"redis://127.0.0.1:{self.ports.redis}/0",
            "HIPPOCAMP_BLOBS": str(self.folder / "blobs"),
            "HIPPOCAMP_REDIS_FOLDER": str(self.folder / "redis"),
            "HIPPOCAMP_MODEL_SERVER": f"http://127.0.0.1:{self.ports.model_server}",
            "HIPPOCAMP_MODEL_TOKEN_FILE": str(self.folder / "model_server" / "key_file.json"),
            "HIPPOCAMP_MODEL_READS_BLOBS": "1",
            "HIPPOCAMP_MODEL_THREADS": str(self.model_threads),
            "PYTHONUNBUFFERED": "1",
        }
        if self.releases:
            ours["HIPPOCAMP_MODELS"] = ",".join(map(digest_in, self.releases))
        return {**os.environ, **ours, **self.extra}
