"""A batch: every volume of a table becomes one job, whatever is killed and however often it runs."""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from client.asynchronous import AsyncClient
from client.errors import JobEnded, NotFound, Refused
from client.journal import Journal
from client.models import JobResult, Problem
from client.sources import Source, open_source
from client.submit_options import SubmitOptions
from client.tables import Row

Answer = dict[str, Any]
_WATCHED = 64
"""Jobs asked about at once: the queue is first come, first served, so the others cannot end before."""


class Watcher(Protocol):
    """Told how a batch goes on."""

    def sent(self, row: Row) -> None:
        """A volume is with the service (or was already)."""

    def ended(self, row: Row, answer: Answer) -> None:
        """A volume has its answer."""


@dataclass
class BatchRun:
    """One run over a table. `uploads` volumes travel at once; all that were sent are waited for together.

    covariates: whether the table's columns age, sex, education and mmse are sent along.
    The idempotency key of a volume is made of its content (and `again`), so a volume that was sent but not
    noted, because the process died between, is recognised by the service and makes no second job.
    """

    client: AsyncClient
    journal: Journal
    watcher: Watcher
    uploads: int = 4
    priority: str | None = "bulk"
    again: str = ""
    covariates: bool = False
    _watched: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_WATCHED))
    _locks: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    async def run(self, rows: Sequence[Row]) -> list[Answer]:
        """The answer of every row, in order; a volume that stands in the table twice is sent once."""
        gate = asyncio.Semaphore(self.uploads)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._row(row, gate)) for row in rows]
        return [task.result() for task in tasks]

    async def _row(self, row: Row, gate: asyncio.Semaphore) -> Answer:
        answer, digest = await self._send(row, gate)
        self.watcher.sent(row)
        if answer is None:
            async with self._watched, self._locks[f"wait {digest}"]:
                answer = self.journal.answers.get(digest) or await self._answer(digest)
        self.watcher.ended(row, answer)
        return answer

    async def _send(self, row: Row, gate: asyncio.Semaphore) -> tuple[Answer | None, str]:
        """(answer if it is known already, digest); the volume is with the service when this returns."""
        async with gate:
            try:
                source = await asyncio.to_thread(open_source, row.path)
            except (FileNotFoundError, PermissionError) as error:
                return {"state": "not_sent", "error_code": "file", "error_detail": str(error)}, ""
            try:
                digest = await asyncio.to_thread(self._digest, row.path, source)
                told = row.covariates if self.covariates else SubmitOptions()
                if told:  # the same head with other covariates is another question
                    digest = hashlib.sha256(f"{digest}{sorted(told.items())}".encode()).hexdigest()
                async with self._locks[digest]:
                    return await self._submit(source, digest, told), digest
            finally:
                source.close()

    async def _submit(self, source: Source, digest: str, told: SubmitOptions) -> Answer | None:
        if digest in self.journal.answers:
            return self.journal.answers[digest]
        if digest in self.journal.jobs:
            return None
        key = "hb-" + hashlib.sha256(f"{digest}/{self.priority}/{self.again}".encode()).hexdigest()
        try:
            submit_options: SubmitOptions = {**told, "priority": self.priority}
            handle = await self.client.submit(source, idempotency_key=key, **submit_options)
        except Refused as refused:
            if refused.problem.status in {401, 403, 409}:
                raise
            answer = _failed("refused", refused.problem)
            self.journal.ended(digest, answer)
            return answer
        self.journal.sent(digest, handle.id)
        return None

    def _digest(self, path: Path, source: Source) -> str:
        if source.path is None:
            return source.digest
        about = path.stat()
        stamp = f"{path.resolve()}|{about.st_size}|{about.st_mtime_ns}"
        if stamp not in self.journal.digests:
            self.journal.hashed(stamp, source.digest)
        return self.journal.digests[stamp]

    async def _answer(self, digest: str) -> Answer:
        job_id = self.journal.jobs[digest]
        try:
            answer = _succeeded(await self.client.result(job_id))
        except JobEnded as ended:
            answer = _failed(ended.job.state, ended.job.error) | {"job_id": job_id}
        except NotFound as gone:
            answer = _failed("gone", gone.problem) | {"job_id": job_id}
        self.journal.ended(digest, answer)
        return answer


def _succeeded(result: JobResult) -> Answer:
    return {
        "job_id": result.job_id,
        "state": "succeeded",
        "cdr": result.cdr,
        "label": result.label,
        **result.probabilities,
        "prediction_set": " ".join(result.prediction_set),
        "uncertain": result.uncertain,
        "out_of_distribution": result.out_of_distribution,
        "cache": result.raw.get("cache", ""),
        **_clinical(result.raw.get("clinical")),
    }


def _clinical(found: Any) -> Answer:
    if not found:
        return {}
    shares = {f"clinical_{key}": share for key, share in found["probabilities"].items()}
    return {"clinical_cdr": found["cdr"], **shares}


def _failed(state: str, problem: Problem | None) -> Answer:
    if problem is None:
        return {"state": state}
    return {"state": state, "error_code": problem.code, "error_detail": problem.detail}


def run_batch(make: Callable[[], AsyncClient], rows: Sequence[Row], **options: Any) -> list[Answer]:
    """Run a batch from plain code; the first error that concerns the whole batch ends it."""

    async def go() -> list[Answer]:
        async with make() as client:
            return await BatchRun(client, **options).run(rows)

    try:
        return asyncio.run(go())
    except ExceptionGroup as group:
        raise group.exceptions[0] from group
