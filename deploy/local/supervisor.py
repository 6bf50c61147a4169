"""Starts, watches and stops the services of one local system; its memory is one JSON file."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import httpx
import psutil

from deploy.local import running
from deploy.local.running import MARK, Running
from deploy.local.services import ALL, Make, Service
from deploy.local.settings import LocalSettings


class StartFailed(SystemExit):
    """A service cannot start or died at once; the message is one line saying which and why."""


class LocalSystem:
    """One local system."""

    def __init__(self, settings: LocalSettings, services: Sequence[Make] = ALL) -> None:
        self.settings = settings
        self.services = services
        self.memory = settings.folder / "state.json"
        self._children: list[subprocess.Popen[bytes]] = []
        self._unsaved: list[Running] | None = None

    def remembered(self) -> list[Running]:
        """Services started before, alive or not, in start order."""
        return running.read(self.memory) if self._unsaved is None else self._unsaved

    def is_up(self) -> bool:
        """Whether every service is alive."""
        found = self.remembered()
        return len(found) == len(self.services) and all(item.process() for item in found)

    def up(self) -> None:
        """Start everything and return when /readyz is green; StartFailed leaves nothing behind."""
        self.down()
        self.settings.folder.mkdir(parents=True, exist_ok=True)
        (self.settings.folder / "logs").mkdir(exist_ok=True)
        try:
            for make in self.services:
                self._start(make(self.settings))
            self._wait_until_ready()
        except BaseException:
            self.down()
            raise

    def down(self) -> None:
        """Stop everything in reverse order; what does not stop in its time is killed.

        At last whatever else carries the system's mark: a full disk may have kept it from being written down.
        """
        mark = str(self.settings.folder)
        for item in reversed(self.remembered()):
            item.stop(mark)
        running.stop_marked(mark)
        self.memory.unlink(missing_ok=True)
        self._unsaved = None
        shutil.rmtree(self._metrics, ignore_errors=True)
        for child in self._children:
            child.wait(10)
        self._children.clear()

    def log(self, name: str) -> Path:
        """Where a service's output goes."""
        return self.settings.folder / "logs" / f"{name}.log"

    def restart(self, name: str, *, wait: bool = True) -> None:
        """Start one service again that has ended; `wait` until its port is open."""
        for make in self.services:
            if make.__name__ == name:
                self._start(make(self.settings), wait=wait)
                return
        raise ValueError(f"no service {name}")

    def reap(self) -> None:
        """Take note of children that ended, so that none stays as a zombie."""
        self._children = [child for child in self._children if child.poll() is None]

    def _start(self, service: Service, *, wait: bool = True) -> None:
        for port in service.ports:
            _refuse_busy(service.name, port)
        with self.log(service.name).open("ab") as log:
            process = subprocess.Popen(  # noqa: S603  our own commands
                service.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=service.folder,
                env=self._environment(service),
                start_new_session=True,
            )
        self._children.append(process)
        created = psutil.Process(process.pid).create_time()
        self._remember(Running(service.name, process.pid, created, service.stop_seconds))
        if wait and service.ready_port is not None:
            self._wait_for_port(service, process, service.ready_port)

    @property
    def _metrics(self) -> Path:
        """In memory where that can be: counting on a full disk kills the process that counts (SIGBUS)."""
        folder = hashlib.sha256(str(self.settings.folder).encode()).hexdigest()[:16]
        name = f"hippocamp-{os.getuid()}-{folder}"
        memory = Path("/dev/shm")  # noqa: S108  a folder of our own in it
        return memory / name if os.access(memory, os.W_OK) else self.settings.folder / "metrics"

    def _counters(self, service: Service) -> dict[str, str]:
        """An empty folder for the service's processes to count in (runtime/metrics.py)."""
        folder = self._metrics / service.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return {"PROMETHEUS_MULTIPROC_DIR": str(folder)}

    def _environment(self, service: Service) -> dict[str, str]:
        shared = self.settings.environment()
        return {**shared, **service.environment, **self._counters(service), MARK: str(self.settings.folder)}

    def _remember(self, item: Running) -> None:
        """In the place it had, for services are stopped in the reverse of their order."""
        known = self.remembered()
        again = [item if old.name == item.name else old for old in known]
        self._unsaved = again if item in again else [*known, item]
        self.save()

    def save(self) -> None:
        """Write down what is remembered; a full disk leaves it in memory, for the next time."""
        if self._unsaved is None:
            return
        with suppress(OSError):
            running.write(self.memory, self._unsaved)
            self._unsaved = None

    def _wait_for_port(self, service: Service, process: subprocess.Popen[bytes], port: int) -> None:
        deadline = time.monotonic() + self.settings.start_seconds
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise StartFailed(self._obituary(service.name, f"ended with status {process.returncode}"))
            if _is_open(port):
                return
            time.sleep(0.05)
        raise StartFailed(self._obituary(service.name, f"did not open port {port} in time"))

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + self.settings.start_seconds
        answer = "no answer"
        while time.monotonic() < deadline:
            for item in self.remembered():
                if item.process() is None:
                    raise StartFailed(self._obituary(item.name, "ended at start"))
            with suppress(httpx.HTTPError):
                response = httpx.get(f"{self.settings.gateway_url}/readyz", timeout=5, trust_env=False)
                if response.status_code == httpx.codes.OK:
                    return
                answer = response.text.replace("\n", " ")
            time.sleep(0.25)
        raise StartFailed(f"The system did not get ready in time; /readyz says: {answer}")

    def _obituary(self, name: str, what: str) -> str:
        log = self.log(name)
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        return f"{name} {what}: {lines[-1] if lines else 'it printed nothing'} (all of it: {log})"


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _refuse_busy(name: str, port: int) -> None:
    if not _is_open(port):
        return
    holder = "another process"
    with suppress(psutil.Error):
        for item in psutil.net_connections("tcp"):
            if item.laddr and item.laddr.port == port and item.status == psutil.CONN_LISTEN and item.pid:
                holder = f"pid {item.pid} ({psutil.Process(item.pid).name()})"
    raise StartFailed(
        f"{name} needs port {port}, which {holder} holds: stop it, or choose another with"
        f" HIPPOCAMP_{_variable(name)}"
    )


def _variable(name: str) -> str:
    if name in {"gateway", "redis", "exporter"}:
        return f"{name.upper()}_PORT"
    if name == "model_server":
        return "MODEL_SERVER_PORT (and its siblings)"
    return f"{name.upper()}_METRICS_PORT"
