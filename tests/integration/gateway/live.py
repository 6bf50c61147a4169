"""The gateway as it is served, on a port of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from tests.conftest import free_port


@dataclass(frozen=True)
class Running:
    url: str
    port: int
    process: psutil.Process
    blobs: Path
    log: Path
    ops_url: str = ""

    def memory(self) -> int:
        return sum(p.memory_info().rss for p in self.process.children())


@contextmanager
def serving(redis_url: str, folder: Path, *, also: str = "", **environment: str) -> Iterator[Running]:
    """Two processes on this Redis and `folder`/blobs; stopped at the end. also: one more address."""
    port = free_port()
    (folder / "metrics").mkdir()
    own = {
        "HIPPOCAMP_REDIS_URL": redis_url,
        "HIPPOCAMP_BLOBS": str(folder / "blobs"),
        "HIPPOCAMP_BIND": ",".join(filter(None, [f"127.0.0.1:{port}", also])),
        "HIPPOCAMP_GATEWAY_WORKERS": "2",
        "PROMETHEUS_MULTIPROC_DIR": str(folder / "metrics"),
    }
    command = [
        sys.executable,
        "-m",
        "gateway.server",
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env={**os.environ, **own, **environment}, stderr=log)
        try:
            _wait(f"http://127.0.0.1:{port}/livez", folder / "log", process)
            ops = environment.get("HIPPOCAMP_OPS_BIND")
            yield Running(
                url=f"http://127.0.0.1:{port}",
                port=port,
                process=psutil.Process(process.pid),
                blobs=folder / "blobs",
                log=folder / "log",
                ops_url=f"http://{ops}" if ops else "",
            )
        finally:
            process.terminate()
            process.wait(60)


def _wait(address: str, log: Path, process: subprocess.Popen[bytes]) -> None:
    for _ in range(1800):
        if process.poll() is not None:
            break
        try:
            if httpx.get(address, timeout=60, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise RuntimeError(log.read_text())
