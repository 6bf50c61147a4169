"""Scoring again what was prepared before: a new job for a head that another model answered."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import cast

import redis

from contracts.job import Job
from contracts.states import JobState
from jobstore import keys
from jobstore.scripts import Scripts
from runtime.blobs import stack_path


class Rescored(StrEnum):
    """What became of one job that was looked at."""

    QUEUED = "put in line"
    EXISTS = "put in line before"
    ANSWERED = "answered by this model already"
    TWIN = "same head as one above"
    ERASED = "erased after it was rescored"
    NOTHING = "without a result"


@dataclass
class Rescoring:
    """One run over many jobs; the same run again, or another after a kill, puts nothing in line twice."""

    client: redis.Redis
    model: str
    _heads: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._scripts = Scripts(self.client)

    def run(self, job_ids: Iterable[str], *, dry: bool = False) -> Iterator[tuple[Job, str, Rescored]]:
        """Each job, the id of the new one, and what became of it; dry: what would become of it."""
        others: list[str] = []
        for job in filter(None, map(self._read, job_ids)):
            if job.state is JobState.SUCCEEDED and job.text("model_digest") == self.model:
                self._heads.add(self._head(job))
                yield job, job.id, Rescored.ANSWERED
            elif job.state.is_terminal or not job.text("rescored_from"):
                others.append(job.id)
        for job in filter(None, map(self._read, others)):
            yield job, self.new_id(job), self._one(job, dry=dry)

    def new_id(self, job: Job) -> str:
        """The id that this head gets for this model every time."""
        named = f"rescore\0{self.model}\0{self._head(job)}"
        return "job_" + hashlib.sha256(named.encode()).hexdigest()[:32]

    def _one(self, job: Job, *, dry: bool) -> Rescored:
        if job.state is not JobState.SUCCEEDED:
            return Rescored.NOTHING
        head = self._head(job)
        if head in self._heads:
            return Rescored.TWIN
        self._heads.add(head)
        if dry:
            there = self.client.exists(keys.record(self.new_id(job)))
            return Rescored.EXISTS if there else Rescored.QUEUED
        return self._queue(job)

    def _queue(self, job: Job) -> Rescored:
        was = job.result or {}
        slices = job.text("stack_blob") or stack_path(
            job.site, job.artifact_prefix, was.get("pipeline_digest", "")
        )
        prepared = {name: spent for name, spent in was.get("seconds", {}).items() if name != "inference"}
        kept = {
            "stack_blob": slices,
            "quality": json.dumps(was.get("quality", {})),
            "series": json.dumps(was.get("series")),
            "seconds_preprocess": json.dumps(prepared),
        }
        found = self._scripts.run("rescore", ["", job.id, self.new_id(job), self.model, json.dumps(kept)])
        known = {"queued": Rescored.QUEUED, "exists": Rescored.EXISTS, "erased": Rescored.ERASED}
        return known.get(str(found), Rescored.NOTHING)

    def _read(self, job_id: str) -> Job | None:
        record = cast("dict[str, str]", self.client.hgetall(keys.record(job_id)))
        return Job(record) if record.get("kind") == "job" else None

    def _head(self, job: Job) -> str:
        """Jobs with the same one ask the same question."""
        parts = (job.site, job.text("content_digest"), job.text("pipeline_digest"), job.text("covariates"))
        return json.dumps(parts)


def jobs_to_rescore(
    client: redis.Redis, *, site: str = "", batch: str = "", since_ms: int = 0
) -> Iterator[str]:
    """Ids of a batch's jobs, or of a site's, or of all, oldest first, recorded at `since_ms` or later."""
    if batch:
        lists = [keys.jobs_of_batch(batch)]
    else:
        sites = [site] if site else sorted(cast("set[str]", client.smembers(keys.SITES)))
        lists = [keys.jobs_of_site(one) for one in sites]
    for key in lists:
        for job_id in cast("list[str]", client.zrangebyscore(key, since_ms, "+inf")):
            if not batch or not site or client.hget(keys.record(job_id), "site") == site:
                yield job_id
