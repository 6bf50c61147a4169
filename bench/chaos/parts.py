"""The services of a system under attack: the real ones, with scaled-down pipeline and model."""

from __future__ import annotations

import sys
from dataclasses import replace

from deploy.local import services
from deploy.local.services import Service
from deploy.local.settings import LocalSettings

LINK_PORT = "HIPPOCAMP_CHAOS_LINK_PORT"
WORKERS = ("preprocess", "preprocess_b", "infer", "infer_b")
"""Two whole workers a stage, as two machines would have."""


def preprocess(settings: LocalSettings) -> Service:
    """The consumer of bench.chaos.scaled in place of the real pipeline's."""
    real = services.preprocess(settings)
    command = [part.replace("preprocessing_service.consumer", "bench.chaos.scaled") for part in real.command]
    return replace(real, command=command)


def preprocess_b(settings: LocalSettings) -> Service:
    """A second one."""
    return _second(preprocess(settings))


def infer_b(settings: LocalSettings) -> Service:
    """A second one."""
    return _second(services.infer(settings))


def _second(first: Service) -> Service:
    environment = {k: v for k, v in first.environment.items() if k != "HIPPOCAMP_METRICS_PORT"}
    command = [part.replace("@local", "_b@local") for part in first.command]
    return replace(first, name=f"{first.name}_b", command=command, ports=[], environment=environment)


def model_server(settings: LocalSettings) -> Service:
    """The small model in place of TorchServe."""
    port = settings.ports.model_server
    command = [sys.executable, "-m", "bench.chaos.small_model"]
    return Service(name="model_server", command=command, ports=[port], ready_port=port)


def replica(settings: LocalSettings) -> Service:
    """A Redis that follows the other one, over the network whose port the environment names."""
    leader = services.redis(settings)
    port, data = settings.ports.model_grpc, settings.folder / "replica"
    data.mkdir(parents=True, exist_ok=True)
    command = list(leader.command)
    command[command.index("--port") + 1] = str(port)
    command[command.index("--dir") + 1] = str(data)
    command += ["--replicaof", "127.0.0.1", settings.extra[LINK_PORT]]
    return replace(leader, name="replica", command=command, ports=[port], ready_port=port)


def twin(_: LocalSettings) -> Service:
    """A preprocess worker of a machine with the same host name (bench/chaos/twin.py)."""
    return Service(name="twin", command=[sys.executable, "-m", "bench.chaos.twin"])


SERVICES = [
    services.redis, model_server, services.gateway, preprocess, preprocess_b, services.infer, infer_b,
    services.deliver, services.maintain, services.beat,
]  # fmt: skip
