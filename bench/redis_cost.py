"""What one job of a configured site costs Redis: whole lives through the real line, by its own counters."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import redis

from bench.site import Headers, configure
from contracts.job import Submission, new_job_id
from contracts.states import Stage
from gateway.access.keys import in_force
from gateway.access.rate import spend
from jobstore import api_keys
from jobstore.result_cache import CacheEntry, cache_key
from jobstore.sites import Site
from jobstore.store import JobStore
from jobstore.wakeups import celery_app, wake
from runtime.redis_connections import connect
from tests.redis_servers import DURABLE, FORGETFUL, Server

STEPS = 2
"""Steps that a worker of half a second a volume notes in the record: one a quarter of a second at most."""
RATE = 10_000.0
"""Requests a second of a site (default 50): here they come as fast as one process can send them."""
_RESULT = '{"probabilities": ' + "0" * 1150 + "}"


@dataclass(frozen=True)
class Cost:
    """Of one job. calls: scripts run. commands: all, those inside scripts included. Memory after its end."""

    calls: float
    commands: float
    cpu_ms: float
    waiting_bytes: float
    ended_bytes: float
    log_bytes: float
    cache_calls: float
    cache_bytes: float


@dataclass(frozen=True)
class Counters:
    """One server's, at one moment."""

    calls: int
    commands: int
    cpu: float
    memory: int
    log: int

    @classmethod
    def of(cls, client: redis.Redis) -> Counters:
        told = client.info("all")
        stats = {name: about for name, about in told.items() if name.startswith("cmdstat_")}
        commands = sum(about["calls"] for about in stats.values())
        return cls(
            calls=sum(about["calls"] for name, about in stats.items() if name.startswith("cmdstat_eval")),
            commands=commands,
            cpu=told["used_cpu_user"] + told["used_cpu_sys"],
            memory=told["used_memory"],
            log=told.get("aof_current_size", 0),
        )


def measure(jobs: int = 3000, sites: int = 20) -> Cost:
    """Submit all of them, then work them off, one after the other, with a cache on a server of its own."""
    with tempfile.TemporaryDirectory() as folder:
        servers = [Server(Path(folder) / "line", DURABLE), Server(Path(folder) / "cache", FORGETFUL)]
        try:
            line_client, cache_client = (connect(server.start().url) for server in servers)
            celery = celery_app("bench", servers[0].url)
            job_store = JobStore(line_client, cache=cache_client)
            keys = [
                configure(line_client, Site(name=f"site{n}", requests_per_second=RATE)) for n in range(sites)
            ]
            empty, cache_empty = Counters.of(line_client), Counters.of(cache_client)
            for n in range(jobs):
                _admit(line_client, keys[n % sites])
                if job_store.submit(_submission(f"site{n % sites}")).lacking:
                    wake(celery, Stage.PREPROCESS)
            waiting = Counters.of(line_client)
            _work_off(job_store)
            ended, cache_ended = Counters.of(line_client), Counters.of(cache_client)
            line_client.close()
            celery.close()
            cache_client.close()
        finally:
            for server in servers:
                server.kill()
    return Cost(
        calls=_calls(ended, empty) / jobs,
        commands=(ended.commands - empty.commands) / jobs,
        cpu_ms=1000 * (ended.cpu - empty.cpu) / jobs,
        waiting_bytes=(waiting.memory - empty.memory) / jobs,
        ended_bytes=(ended.memory - empty.memory) / jobs,
        log_bytes=(ended.log - empty.log) / jobs,
        cache_calls=_calls(cache_ended, cache_empty) / jobs,
        cache_bytes=(cache_ended.memory - cache_empty.memory) / jobs,
    )


def _admit(client: redis.Redis, headers: Headers) -> None:
    """What the gateway asks about the one request of a job: its key, its site, whether the rate is kept."""
    prefix = api_keys.prefix_of(headers["Authorization"].removeprefix("Bearer "))
    _, site = in_force(client, str(prefix), now_ms=int(time.time() * 1000))
    allowance = spend(client, site)
    if allowance is None or not allowance.granted:
        raise SystemExit(f"{site.name} sends more than its rate of {site.requests_per_second:g} a second")


def _calls(after: Counters, before: Counters) -> int:
    return after.calls - before.calls


def _submission(site: str) -> Submission:
    job_id = new_job_id()
    content = job_id[4:] * 2
    return Submission(
        id=job_id, site=site, content_digest=content, input_blob=f"inputs/{site}/{job_id}",
        size_bytes=10_000_000, stored_bytes=10_000_000,
        media="nifti.gz", pipeline_digest="p" * 64, model_digest="m" * 64,
        trace_id="t" * 32,
    )  # fmt: skip


def _work_off(job_store: JobStore) -> None:
    while claims := job_store.claim(Stage.PREPROCESS, "host/1/1"):
        for step in range(STEPS):
            job_store.renew(claims[0], step=f"step {step}")
        job = claims[0].job
        stack = f"stacks/{job.site}/{job.text('content_digest')}/{'p' * 64}.npz"
        fields = {"stack_blob": stack, "quality": "{}", "seconds_preprocess": "{}"}
        job_store.advance(claims[0], Stage.INFER, fields)
    while claims := job_store.claim(Stage.INFER, "host/1/2", limit=4):
        for claim in claims:
            content = claim.record["content_digest"]
            key = cache_key(claim.record["site"], content, pipeline="p" * 64, model="m" * 64)
            shown = f"explanations/{claim.record['site']}/{content}/{'p' * 64}-{'m' * 64}.npz"
            fields = {"result": _RESULT, "explanation_blob": shown, "model_digest": "m" * 64}
            job_store.succeed(claim, fields, cache=CacheEntry(key, _RESULT, 86400))


if __name__ == "__main__":
    started = time.monotonic()
    print(measure(), f"{time.monotonic() - started:.1f} s")
