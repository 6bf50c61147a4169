"""The job store: who works on what next, held in Redis and moved only by the scripts in lua/."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, cast

import redis

from contracts.errors import Gone, HippocampError, JobNotFound, WrongState
from contracts.job import Claim, Job, Submission
from contracts.states import LONGEST_WORK_SECONDS, MOST_ATTEMPTS, JobState, Stage
from jobstore import clock, keys
from jobstore.ended_jobs_log import tell
from jobstore.replies import Published, QueueEstimate, Reaped, Submitted, refusal
from jobstore.result_cache import AnswerCache, CacheEntry
from jobstore.scripts import Scripts
from jobstore.uploads import Uploads
from runtime.blobs import artifact_folders

_SWEEPS_MS = json.dumps([900_000, (LONGEST_WORK_SECONDS + 900) * 1000])
"""What a worker still stores of an erased job goes soon, and for certain once no worker can be at it."""


class LeaseLost(Exception):  # noqa: N818  named for what happened, as in contracts.errors
    """The claim is no longer held; whatever its worker made must be thrown away."""


class AnswerForgotten(Exception):  # noqa: N818
    """The answer that a submission without stored bytes relied on was erased since: submit it as new."""


class JobStore:
    """All moves a record can make. Every method is one atomic round trip of a client that decodes responses.

    `cache`: the server of finished results, the job store's own when there is no other.
    `replicas`: how many must hold what `submit` and `erase` wrote before these return.
    `now_ms` pins the clock for tests; otherwise Redis's own clock counts, so workers need not agree on time.
    """

    def __init__(
        self,
        client: redis.Redis,
        *,
        cache: redis.Redis | None = None,
        replicas: int = 0,
        now_ms: int | None = None,
    ) -> None:
        self.redis = client
        self.replicas = replicas
        self.answers = AnswerCache(client, cache or client)
        self.now_ms = now_ms
        self._scripts = Scripts(client)
        self.uploads = Uploads(self._run, self._run_replicated)
        self._unanswered: dict[tuple[Stage, str], str] = {}

    def _run(self, script: str, *args: str | float) -> Any:
        return self._scripts.run(script, [self._now, *args])

    def _run_replicated(self, script: str, *args: str | float) -> Any:
        return self._scripts.run_replicated(script, [self._now, *args], replicas=self.replicas)

    @property
    def _now(self) -> str | int:
        return "" if self.now_ms is None else self.now_ms

    def submit(self, submission: Submission, *, most_waiting: int = 1_000_000) -> Submitted:
        """Write the record durably and queue it, or finish it when `result` is set and still kept.

        A record that is there already stays, and is what is told.
        Backlog when full, QuotaExceeded, BatchNotFound when the site has no such batch, NotReplicated,
        AnswerForgotten, JobStoreUnavailable when the upload was withdrawn.
        """
        state = JobState.SUCCEEDED if submission.result else JobState.FAILED if submission.error_code else ""
        answer, lacking, record = self._run_replicated("submit", submission.to_record(), most_waiting, state)
        if answer == "forgotten":
            raise AnswerForgotten(submission.id)
        if answer not in {"ok", "exists"}:
            raise refusal(answer, batch=submission.batch, most_waiting=most_waiting)
        return Submitted(_pairs(record), bool(lacking))

    def check_room(self, submission: Submission, *, most_waiting: int) -> None:
        """Backlog, QuotaExceeded or BatchNotFound when `submit` would say so now."""
        if why := self._run("room", submission.to_record(), most_waiting):
            raise refusal(why, batch=submission.batch, most_waiting=most_waiting)

    def claim(self, stage: Stage, worker: str, *, limit: int = 1, lease_seconds: float = 30) -> list[Claim]:
        """Take up to `limit` records, fair over sites, then by priority, then by age; a retried one alone.

        A call whose answer is lost has perhaps taken some: the worker's next call is given these.
        """
        question = self._unanswered.pop((stage, worker), None) or uuid.uuid4().hex
        lease = int(lease_seconds * 1000)
        try:
            claimed, ended = self._run("claim", stage, limit, lease, MOST_ATTEMPTS[stage], worker, question)
        except redis.RedisError:
            self._unanswered[stage, worker] = question
            raise
        tell(ended)
        return [Claim(id_, stage, int(fence), _pairs(flat)) for id_, fence, flat in claimed]

    def renew(self, claim: Claim, *, lease_seconds: float = 30, step: str = "") -> bool:
        """Hold the claim for longer and note the step it is at; False when it is lost."""
        return bool(self._run("renew", claim.stage, claim.id, claim.fence, int(lease_seconds * 1000), step))

    def advance(self, claim: Claim, to: Stage, fields: Mapping[str, str | float] | None = None) -> Published:
        """Commit this stage's fields and queue the record for the next stage."""
        return self._commit(claim, to, fields or {})

    def succeed(
        self, claim: Claim, fields: Mapping[str, str | float], *, cache: CacheEntry | None = None
    ) -> Published:
        """Commit the last stage's fields; deliveries to the site's endpoints are queued in the same call.

        The result is cached after it, if the cache's server is there.
        """
        until = self.answers.limit() if cache else None
        done = self._commit(claim, JobState.SUCCEEDED, fields, cache=cache if until else None)
        if cache and until and done.name:
            self.answers.keep(done.name, cache, until=until)
        return done

    def fail(
        self, claim: Claim, error: HippocampError, fields: Mapping[str, str | float] | None = None
    ) -> None:
        """End the record with the error's code and detail."""
        figures = {"error_figures": json.dumps(error.figures)} if error.figures else {}
        self._commit(claim, JobState.FAILED, {**(fields or {}), **figures}, error=error)

    def _commit(
        self,
        claim: Claim,
        target: Stage | JobState,
        fields: Mapping[str, str | float],
        *,
        error: HippocampError | None = None,
        cache: CacheEntry | None = None,
    ) -> Published:
        code, detail = (error.code, error.detail) if error else ("", "")
        kept = (cache.key, cache.ttl_seconds) if cache else ("", 0)
        body = json.dumps(dict(fields))
        done = self._run("commit", claim.stage, claim.id, claim.fence, target, body, code, detail, *kept)
        if done is None:
            raise LeaseLost(f"{claim.id} at {claim.stage}, fence {claim.fence}")
        lacking, deliveries, name = done
        return Published(bool(lacking), int(deliveries), str(name))

    def release(
        self,
        claim: Claim,
        note: str,
        *,
        delay_seconds: float = 0,
        counts: bool = True,
        fields: Mapping[str, str | float] | None = None,
    ) -> None:
        """Hand the claim back for another try after a delay; `counts=False` gives the attempt back."""
        delay, free = int(delay_seconds * 1000), "" if counts else "1"
        body = json.dumps(dict(fields or {}))
        if not self._run("release", claim.stage, claim.id, claim.fence, delay, free, note, body):
            raise LeaseLost(f"{claim.id} at {claim.stage}, fence {claim.fence}")

    def cancel(self, job_id: str) -> JobState:
        """Cancel in whatever state; returns the state the job is in afterwards."""
        state = self._run("cancel", job_id)
        if state is None:
            raise JobNotFound(f"No job {job_id}")
        return JobState(state)

    def erase(self, job: Job, *, tombstone: bool = True) -> list[str]:
        """Forget the job, running or not; JobNotFound when there is none, not even its tombstone.

        Stacks, maps and cached results go with the last job of the site that has the same bytes: the folders
        that nothing will ever name again, which the reconciler deletes and the caller may.
        """
        folders = list(artifact_folders(job.site, job.artifact_prefix))
        mark = "1" if tombstone else ""
        erased = self._run_replicated("erase", job.id, job.site, mark, _SWEEPS_MS, json.dumps(folders))
        if erased is None:
            raise JobNotFound(f"No job {job.id}")
        last, stale = erased
        if stale:
            self.answers.clear()
        return folders if last else []

    def replay(self, delivery_id: str) -> bool:
        """Queue a finished delivery once more with all its attempts; False when it is not finished."""
        return bool(self._run("replay", delivery_id))

    def reap(self) -> Reaped:
        """Return expired leases to the job store and end jobs past their deadline."""
        most = [MOST_ATTEMPTS[stage] for stage in (Stage.PREPROCESS, Stage.INFER, Stage.DELIVER)]
        *counts, events = self._run("reap", *most)
        tell(events)
        return Reaped(*(int(n) for n in counts))

    def reopen(self, job_id: str) -> Stage:
        """Queue a failed or expired job anew, from what is left of it; JobNotFound, Gone, WrongState."""
        found = self._run("reopen", job_id)
        if found == "none":
            raise JobNotFound(f"No job {job_id}")
        if found == "gone":
            raise Gone(f"Nothing is left of {job_id} to work on: have its volume sent again")
        if found not in set(Stage):
            raise WrongState(f"The job is {found}; only one that failed or expired can be opened again")
        return Stage(found)

    def get(self, job_id: str) -> Job:
        """The job as recorded; JobNotFound otherwise."""
        fields = self.record(job_id)
        if fields.get("kind") != "job":
            raise JobNotFound(f"No job {job_id}")
        return Job(fields)

    def erased_by(self, job_id: str) -> str | None:
        """The site that erased this job; None when it was never erased."""
        fields = self.record(job_id)
        return fields["site"] if fields.get("kind") == "tombstone" else None

    def record(self, record_id: str) -> dict[str, str]:
        """All fields of a record, {} when there is none."""
        return cast("dict[str, str]", self.redis.hgetall(keys.record(record_id)))

    def position(self, job_id: str) -> int | None:
        """How many records start before this one; None when it does not wait."""
        ahead = int(self._scripts.run("position", [job_id])[1])
        return None if ahead < 0 else ahead

    def depth(self, stage: Stage) -> int:
        """Waiting records of a stage, all sites, "not before" ones included."""
        return int(cast("Any", self.redis.hget(keys.DEPTH, stage)) or 0)

    def ready(self, stage: Stage) -> int:
        """Waiting records of a stage that may start now: as many wake-ups should be on their way."""
        now = clock.now_ms(self.redis) if self.now_ms is None else self.now_ms
        later = self.redis.zcount(keys.later(stage), f"({now}", "+inf")
        return max(0, self.depth(stage) - later)

    def running(self, stage: Stage) -> int:
        """Claimed records of a stage."""
        return int(cast("Any", self.redis.zcard(keys.leases(stage))))

    def look(self, job_id: str) -> tuple[Job, QueueEstimate]:
        """The job as recorded, where it stands, and when it should be done if the pace stays; JobNotFound.

        Without a pace there is no ETA.
        """
        if found := self._seen(self._scripts.run("position", [job_id])):
            return found
        raise JobNotFound(f"No job {job_id}")

    def look_at(self, job_ids: Sequence[str]) -> dict[str, tuple[Job, QueueEstimate] | None]:
        """`look` for many jobs in one round trip; None for those that are not there."""
        answers = self._scripts.run_each("position", [[job_id] for job_id in job_ids])
        return {job_id: self._seen(answer) for job_id, answer in zip(job_ids, answers, strict=True)}

    def _seen(self, answer: Any) -> tuple[Job, QueueEstimate] | None:
        flat, ahead, running, *pace = answer
        job = Job(_pairs(flat))
        if job.fields.get("kind") != "job":
            return None
        position = None if int(ahead) < 0 else int(ahead)
        own, score = (float(ms) / 1000 if ms else None for ms in pace)
        if own is None:
            return job, QueueEstimate(position, None)
        later = score or 0.0 if job.stage is Stage.PREPROCESS else 0.0
        wait = max((position or 0) * own / max(1, int(running)), self._until(job))
        return job, QueueEstimate(position, wait + own + later)

    def _until(self, job: Job) -> float:
        """Seconds until the job may start; by this machine's clock, which is near enough for an estimate."""
        now = time.time() * 1000 if self.now_ms is None else self.now_ms
        return max(0.0, (int(job.text("not_before_ms") or 0) - now) / 1000)


def _pairs(flat: list[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
