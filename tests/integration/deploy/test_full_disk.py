"""`make up` on a disk without a free byte: Redis ends itself, and all is there again once there is room."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest
import redis

from contracts.job import Submission, new_job_id
from deploy.local import services
from deploy.local.reconciler import Reconciler
from deploy.local.running import MARK
from deploy.local.sample import sample_volume
from deploy.local.settings import LocalSettings
from deploy.local.supervisor import LocalSystem
from jobstore import api_keys, keys, sites
from jobstore.api_keys import Scope
from jobstore.store import JobStore
from runtime.redis_connections import connect
from tests.small_disks import fill, small_disk

pytestmark = pytest.mark.integration

MAKE = [services.redis, services.gateway]


class Machine:
    """Redis and gateway of a local system on a small disk, its reconciler, and a site with a key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stack = LocalSystem(LocalSettings(start_seconds=30).beside(folder), MAKE)
        (folder / "logs").mkdir()
        for make in MAKE:
            self.stack.restart(make.__name__)
        self.client = connect(f"redis://127.0.0.1:{self.stack.settings.ports.redis}/0", retries=0)
        sites.save(self.client, sites.Site(name="north"))
        self.key, _ = api_keys.issue(self.client, "north", frozenset(Scope), now_ms=int(time.time() * 1000))
        self.acknowledged: list[str] = []
        self._over = threading.Event()
        self.reconciling = threading.Thread(target=self._keep, daemon=True)
        self.reconciling.start()

    def _keep(self) -> None:
        loop = Reconciler(self.stack)
        while not self._over.wait(0.2):
            loop.look()

    def close(self) -> None:
        self._over.set()
        self.reconciling.join()
        self.stack.down()
        self.client.close()

    def submit(self) -> None:
        """Past the gateway, which takes nothing by now."""
        record = Submission(
            id=new_job_id(), site="north", content_digest="c", input_blob="inputs/north/1", size_bytes=1,
            media="nifti",
        )  # fmt: skip
        JobStore(self.client).submit(record)
        self.acknowledged.append(record.id)

    def send(self) -> int:
        with sample_volume().open("rb") as body, suppress(httpx.HTTPError):
            headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/octet-stream"}
            url = f"{self.stack.settings.gateway_url}/v1/jobs"
            return httpx.post(url, content=body, headers=headers, timeout=30, trust_env=False).status_code
        return 0

    def leader(self, name: str) -> psutil.Process | None:
        (item,) = [item for item in self.stack.remembered() if item.name == name]
        return item.process()

    def until_redis_ends(self) -> None:
        """What is acknowledged up to then counts."""
        ends = time.monotonic() + 30
        with suppress(redis.RedisError):
            while time.monotonic() < ends:
                self.submit()
        assert time.monotonic() < ends, "the disk is not full"


def marked(folder: Path) -> list[int]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


def eventually(check: Callable[[], object], *, within: float = 30) -> float:
    started = time.monotonic()
    while not check():
        assert time.monotonic() - started < within
        time.sleep(0.1)
    return time.monotonic() - started


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with small_disk(tmp_path / "run", 300) as folder:
        machine = Machine(folder)
        yield machine
        machine.close()


def test_all_is_there_again_once_there_is_room(machine: Machine) -> None:
    assert machine.send() == 202
    machine.submit()
    filler = fill(machine.folder)
    machine.until_redis_ends()
    gateway = machine.leader("gateway")
    os.kill(gateway.pid, signal.SIGKILL)
    eventually(lambda: (process := machine.leader("gateway")) and process.pid != gateway.pid)
    eventually(lambda: machine.send() == 503)
    time.sleep(5)
    assert machine.reconciling.is_alive(), "the reconciler lives without a disk to write to"
    filler.unlink()
    assert eventually(lambda: machine.send() == 202) < 20
    assert [one for one in machine.acknowledged if not machine.client.exists(keys.record(one))] == []
    again = LocalSystem(machine.stack.settings, MAKE)
    eventually(
        lambda: [item.pid for item in again.remembered()] == [i.pid for i in machine.stack.remembered()]
    )
    eventually(again.is_up)


def test_down_ends_also_what_a_full_disk_kept_from_being_written_down(machine: Machine) -> None:
    fill(machine.folder)
    machine.until_redis_ends()
    for name in ("redis", "gateway"):
        if process := machine.leader(name):
            os.kill(process.pid, signal.SIGKILL)
    eventually(lambda: machine.leader("gateway") and machine.leader("redis"))
    machine._over.set()
    machine.reconciling.join()
    stale = LocalSystem(machine.stack.settings, MAKE)
    assert not stale.is_up(), "what was started again could not be noted"
    assert marked(machine.folder)
    command = [sys.executable, "-m", "deploy.local", "down"]
    environment = {**os.environ, "HIPPOCAMP_RUN": str(machine.folder)}
    shell = subprocess.Popen(["sleep", "60"], env=environment)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    eventually(lambda: marked(machine.folder) == [])
    assert shell.poll() is None, "whoever only names the folder is no part of the system"
    shell.kill()
    shell.wait(10)
