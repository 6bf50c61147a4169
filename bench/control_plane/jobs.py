"""CPU, Redis traffic and rate of one job while others wait, from submission to stored result."""

from __future__ import annotations

import itertools
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx

from bench.accounting import Used, cpu_by_service, since
from bench.control_plane.system import System
from bench.volumes import tiny
from bench.waiting import until
from contracts.job import Submission, new_job_id
from jobstore import sites as configured
from jobstore.sites import Site
from jobstore.store import JobStore

SENDERS = 4
_numbers = itertools.count(1)


@dataclass(frozen=True)
class JobCost:
    """One scene: `waiting` jobs of `sites` sites in line; figures are means over `jobs`."""

    waiting: int
    sites: int
    jobs: int
    seconds: float
    cpu_ms: Used = field(default_factory=dict)
    round_trips: float = 0.0
    commands: float = 0.0
    network_bytes: float = 0.0
    log_bytes: float = 0.0

    @property
    def total_ms(self) -> float:
        """CPU of all processes."""
        return sum(self.cpu_ms.values())


def fill(system: System, waiting: int, sites: int) -> None:
    """Put `waiting` jobs into the job store, dealt out over `sites`, each with an upload of its own."""
    if not waiting:
        return
    client, job_store = system.redis, JobStore(system.redis)
    client.config_set("appendfsync", "no")  # only while filling
    blob = tiny(0)
    for site in range(sites):
        if system.mode.site:
            configured.save(client, Site(name=f"site{site}", most_waiting=system.mode.site.most_waiting))
        (system.folder / "blobs" / "inputs" / f"site{site}").mkdir(parents=True, exist_ok=True)
    script = job_store._scripts._named["submit"]
    for start in range(0, waiting, 1000):
        first = system.folder / "blobs" / "inputs" / f"first{start}"  # a file has 65,000 names at most
        first.write_bytes(blob)
        with client.pipeline(transaction=False) as pipe:
            for number in range(start, min(start + 1000, waiting)):
                job, site = new_job_id(), f"site{number % sites}"
                path = f"inputs/{site}/{job}"
                os.link(first, system.folder / "blobs" / path)
                record = Submission(
                    id=job, site=site, content_digest=f"{number:064x}", input_blob=path, size_bytes=len(blob),
                    stored_bytes=len(blob), media="nifti",
                )  # fmt: skip
                script(args=["", record.to_record(), 1_000_000, ""], client=pipe)
            pipe.execute()
    while client.info("persistence")["aof_rewrite_in_progress"]:
        time.sleep(0.2)
    client.config_set("appendfsync", "always")


def run(system: System, jobs: int) -> None:
    """Submit `jobs` volumes over keep-alive connections and wait until as many jobs have succeeded."""
    target = system.ended() + jobs
    submit_all(system, jobs)
    until(lambda: system.ended() >= target, f"{target} jobs to succeed", every=0.05)


def submit_all(system: System, jobs: int) -> list[str]:
    """Submit new volumes over a few keep-alive connections; the jobs' ids."""
    local = threading.local()

    def send(number: int) -> str:
        if not hasattr(local, "http"):
            local.http = httpx.Client(
                base_url=system.url, headers=system.headers, timeout=60, trust_env=False
            )
        headers = {"Content-Type": "application/octet-stream"}
        answer = local.http.post("/v1/jobs", content=tiny(number), headers=headers)
        return str(answer.raise_for_status().json()["id"])

    with ThreadPoolExecutor(SENDERS) as pool:
        return list(pool.map(send, itertools.islice(_numbers, jobs)))


def cost(system: System, jobs: int, *, waiting: int, sites: int) -> JobCost:
    """Warm up, then measure `jobs` of them."""
    run(system, max(40, jobs // 5))
    before, redis_before, done = cpu_by_service(system.stack), traffic(system), system.ended()
    started = time.monotonic()
    run(system, jobs)
    seconds, ended = time.monotonic() - started, system.ended() - done
    used = since(before, cpu_by_service(system.stack))
    moved = since(redis_before, traffic(system))
    return JobCost(
        waiting, sites, ended, seconds, {name: 1000 * cpu / ended for name, cpu in used.items()},
        **{name: value / ended for name, value in moved.items()},
    )  # fmt: skip


def traffic(system: System) -> Used:
    """Redis's own counters."""
    stats, log = system.redis.info("stats"), system.redis.info("persistence")
    return {
        "round_trips": stats["total_reads_processed"],
        "commands": stats["total_commands_processed"],
        "network_bytes": stats["total_net_input_bytes"] + stats["total_net_output_bytes"],
        "log_bytes": log["aof_current_size"],
    }
