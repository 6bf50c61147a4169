"""The system under attack: real Redis, gateway, Celery workers and beat; scaled-down pipeline and model."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import httpx
import psutil

from bench.chaos.small_model import DIGEST as SMALL_MODEL
from contracts.connections import connect
from contracts.line import Line
from deploy.local import services
from deploy.local.services import Service
from deploy.local.settings import LocalSettings
from deploy.local.supervisor import Stack

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


SERVICES = [
    services.redis, model_server, services.gateway, preprocess, preprocess_b, services.infer, infer_b,
    services.deliver, services.maintain, services.beat,
]  # fmt: skip


class System:
    """Handles for the experiments: processes by service name, the line, the gateway.

    breaches: what a fault itself found broken, name -> how often. note: a figure to print beside the row.
    """

    def __init__(self, stack: Stack, seed: int, *, full: bool) -> None:
        self.stack = stack
        self.full = full
        self.random = random.Random(seed)
        self.url = stack.settings.gateway_url
        self.redis_url = stack.settings.environment()["HIPPOCAMP_REDIS_URL"]
        self.model_url = stack.settings.environment()["HIPPOCAMP_MODEL_SERVER"]
        self.redis = connect(self.redis_url, timeout_seconds=2, retries=8)
        self.line = Line(self.redis)
        self.restarts = 0
        self.breaches: dict[str, int] = {}
        self.note = ""
        self._down: set[str] = set()
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, daemon=True)
        self._supervisor.start()

    @property
    def blobs(self) -> Path:
        """The folder of the blob store."""
        return self.stack.settings.folder / "blobs"

    def close(self) -> None:
        """Stop supervising."""
        self._over.set()
        self._supervisor.join()
        self.redis.close()

    def _supervise(self) -> None:
        """Restart what ended by itself, as compose or systemd would."""
        while not self._over.wait(0.5):
            with self._lock:
                gone = [
                    i.name for i in self.stack.remembered() if i.name not in self._down and not i.process()
                ]
                for name in gone:
                    self.restarts += 1
                    self.start(name)

    def leader(self, name: str) -> psutil.Process:
        """The process of a service that was started first."""
        for item in self.stack.remembered():
            if item.name == name and (process := item.process()):
                return process
        raise ProcessLookupError(name)

    def children(self, name: str) -> list[psutil.Process]:
        """Its pool or worker processes, without the helper of Python's multiprocessing."""
        found = self.leader(name).children()
        return [one for one in found if not any("resource_tracker" in part for part in one.cmdline())]

    def kill_child(self, *names: str) -> None:
        """SIGKILL one at random of all their children; nothing when there is none right now."""
        with suppress(psutil.Error, ProcessLookupError, IndexError):
            self.random.choice([child for name in names for child in self.children(name)]).kill()

    def kill(self, name: str) -> None:
        """SIGKILL the service's leader and what it started."""
        with self._lock, suppress(ProcessLookupError):
            self._down.add(name)
            leader = self.leader(name)
            os.killpg(os.getpgid(leader.pid), signal.SIGKILL)
            leader.wait(10)
            time.sleep(0.1)

    def stop(self, name: str) -> None:
        """SIGTERM, as a rolling update does, and wait until it has left."""
        with self._lock, suppress(ProcessLookupError):
            self._down.add(name)
            leader = self.leader(name)
            leader.terminate()
            leader.wait(30)

    def start(self, name: str) -> None:
        """Start a service that was killed; the kernel may hold its port for a moment."""
        for attempt in range(50):
            try:
                with self._lock:
                    self.stack.restart(name)
                    self._down.discard(name)
            except SystemExit:
                if attempt == 49:
                    raise
                time.sleep(0.2)
            else:
                return

    def scale(self, name: str, processes: int) -> None:
        """Stop a preprocess worker and start it with so many processes; 0: leave it stopped."""
        self.stop(name)
        if processes:
            self.stack.settings = replace(self.stack.settings, preprocess_processes=processes)
            self.start(name)

    def model_mode(self, mode: str) -> None:
        """Have the model server answer with this status, or work again on "ok"."""
        httpx.post(f"{self.model_url}/mode/{mode}", content=b"", timeout=5).raise_for_status()


@contextmanager
def system(
    seed: int, *, full: bool, logs: Path | None = None, fsync: str = "always", **extra: str
) -> Iterator[System]:  # fmt: skip
    """A fresh system in a temporary folder; everything but a copy of its logs is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="hippocamp-chaos-") as folder:
        environment = {
            "HIPPOCAMP_WEBHOOK_ALLOW": "127.0.0.0/8",
            "HIPPOCAMP_PREPROCESS_SECONDS": "8",
            "HIPPOCAMP_PREPROCESS_MEMORY_BYTES": str(1 << 30),
            "HIPPOCAMP_MODEL_TIMEOUT_SECONDS": "3",
            "HIPPOCAMP_GOLDEN_SECONDS": "5",
            "HIPPOCAMP_MODELS": SMALL_MODEL,
            "OMP_NUM_THREADS": "1",
            **extra,
        }
        local = LocalSettings(preprocess_processes=2, infer_processes=1, redis_fsync=fsync)
        stack = Stack(local.beside(Path(folder), **environment), SERVICES)
        stack.up()
        try:
            running = System(stack, seed, full=full)
            try:
                yield running
            finally:
                running.close()
        finally:
            stack.down()
            if logs:
                shutil.copytree(Path(folder) / "logs", logs, dirs_exist_ok=True)
