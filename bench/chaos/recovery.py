"""How long a job lies still after its worker died: from the death to the next claim."""

from __future__ import annotations

import threading
import time
from contextlib import suppress

import redis

from bench.chaos.system import System
from jobstore import keys
from jobstore.worker_identity import is_dead


class Watch(threading.Thread):
    """Polls the leases; a lease whose process is gone starts a clock that the next claim of the job stops."""

    def __init__(self, system: System) -> None:
        super().__init__(daemon=True)
        self.system = system
        self.recovered: list[float] = []
        self._orphans: dict[str, tuple[str, float]] = {}
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.1):
            with suppress(redis.RedisError):
                self._look()

    def stop(self) -> None:
        self._over.set()
        self.join()

    def _look(self) -> None:
        client = self.system.redis
        for stage in ("preprocess", "infer"):
            for job_id in client.zrange(keys.leases(stage), 0, -1):
                fence, worker, state = client.hmget(keys.record(job_id), ["fence", "worker", "state"])
                running = state in {"preprocessing", "inferring"}
                if running and worker and is_dead(worker):
                    self._orphans.setdefault(job_id, (fence, time.monotonic()))
        for job_id, (fence, since) in list(self._orphans.items()):
            now_fence, state = client.hmget(keys.record(job_id), ["fence", "state"])
            if now_fence != fence and state not in {"queued", "queued_infer"}:
                self.recovered.append(time.monotonic() - since)
                del self._orphans[job_id]
