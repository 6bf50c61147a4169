"""The system under attack: real Redis, gateway, Celery workers and beat; scaled-down pipeline and model."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import httpx
import psutil
import redis

from bench.chaos.hospitals import configure
from bench.chaos.relay import Relay
from deploy.local.supervisor import LocalSystem
from jobstore import keys
from jobstore.store import JobStore
from runtime.redis_connections import connect


class System:
    """Handles for the experiments: processes by service name, the line, the gateway.

    breaches: what a fault itself found broken, name -> how often. note: a figure to print beside the row.
    more_jobs: submitted by a fault, beside those of the ledger. relay: the network between all services and
    Redis, link: that between Redis and its replica, for those experiments that have one.
    """

    relay: Relay
    link: Relay

    def __init__(self, stack: LocalSystem, seed: int, *, full: bool) -> None:
        self.stack = stack
        self.full = full
        self.random = random.Random(seed)
        self.url = stack.settings.gateway_url
        self.redis_url = f"redis://127.0.0.1:{stack.settings.ports.redis}/0"
        self.model_url = stack.settings.environment()["HIPPOCAMP_MODEL_SERVER"]
        self.redis = connect(self.redis_url, timeout_seconds=2, retries=8)
        self.job_store = JobStore(self.redis)
        self.replica: redis.Redis | None = None
        self.hospitals = configure(self.redis, self.url)
        self.restarts = 0
        self.more_jobs = 0
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
        for one in (self.redis, *(hospital.http for hospital in self.hospitals)):
            one.close()

    def follow(self) -> None:
        """Look up on the replica every job that is accepted from now on."""
        self.replica = connect(f"redis://127.0.0.1:{self.stack.settings.ports.model_grpc}/0")
        self.breaches["not_on_replica"] = 0

    def check_promise(self, job_id: str) -> None:
        """At the 202: whether the replica, where one is demanded, has the record."""
        if self.replica and not self.replica.exists(keys.record(job_id)):
            self.breaches["not_on_replica"] += 1

    def _supervise(self) -> None:
        """Restart what ended by itself, as compose or systemd would; in vain while the disk is full."""
        while not self._over.wait(0.5):
            with self._lock:
                gone = [
                    i.name for i in self.stack.remembered() if i.name not in self._down and not i.process()
                ]
                for name in gone:
                    with suppress(SystemExit, OSError):
                        self.stack.restart(name, wait=False)
                        self.restarts += 1
                self.stack.save()

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

    def redis_started(self, *, within: float = 0) -> str:
        """Which run of Redis this is; waits so long for it to answer."""
        ends = time.monotonic() + within
        while True:
            try:
                return str(self.redis.info("server")["run_id"])
            except redis.RedisError:
                if time.monotonic() > ends:
                    return ""
                time.sleep(0.2)

    def model_mode(self, mode: str) -> None:
        """Have the model server answer with this status, or work again on "ok"."""
        httpx.post(f"{self.model_url}/mode/{mode}", content=b"", timeout=5).raise_for_status()
