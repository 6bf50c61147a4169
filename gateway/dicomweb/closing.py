"""Collected studies become jobs: every gateway process looks at what is due, and one holds a study at a time.

1. Claim a study that is due; the lease is renewed while it is worked on, and ends with the process.
2. Settle what a process began that died: a job that it noted is recorded, or never will be.
3. Decide (decision.py): wait, forget, or make a job.
4. Note the job's id and upload in the index, then write it as any other job. The id is made of the collection
   and of the instances, so who does it again after a kill finds the job that is there.
5. Let go of the study until something comes, or until its instances are not kept any longer.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
import uuid
from dataclasses import dataclass, field, replace

import redis

from contracts.errors import Gone, HippocampError, InputError, JobStoreUnavailable
from contracts.job import Submission, new_job_id
from gateway.dicomweb.decision import Answered, Forget, Submit, Wait, decide
from gateway.dicomweb.series import write_zip
from gateway.http.errors import KeyReused
from gateway.http.operations import validated
from gateway.http.schemas import SubmitOptions
from gateway.http.trace import Trace
from gateway.resources import Resources
from gateway.uploads.sanitize.task import Sanitized
from gateway.uploads.spool import nameless
from gateway.uploads.submit import submit
from gateway.uploads.upload import Upload
from imaging.patient import Patient
from imaging.sniff import Media
from jobstore import sites
from jobstore.inbox_records import Held, Study
from runtime.blobs import input_path
from runtime.redis_failures import about

_log = logging.getLogger("hippocamp.gateway")

_AGAIN_MS = 5000
"""After so long a job that cannot be taken now is tried again."""

_LONGEST_PAUSE_MS = 1000


def start(to: Resources, stopped: threading.Event | None = None) -> threading.Thread:
    """Look at what is due until it is set; as long as this process lives when none is given."""
    thread = threading.Thread(
        target=_go_on, args=(to, stopped or threading.Event()), name="inbox", daemon=True
    )
    thread.start()
    return thread


def _go_on(to: Resources, stopped: threading.Event) -> None:
    pause = quiet_share(to) / 1000
    while not stopped.is_set():
        try:
            busy = step(to)
        except redis.RedisError as error:
            _log.warning("inbox.not_read", extra=about(error))
            busy = False
        except Exception as error:  # noqa: BLE001  of one study: others must not wait for it, and it comes again
            _log.error("inbox.failed", extra=about(error))
            busy = False
        if not busy:
            stopped.wait(pause)


def step(to: Resources) -> bool:
    """Look at one study that is due; False when none is."""
    held = to.inbox.claim(_lease_ms(to))
    if held is None:
        return False
    Closing(to, held).run()
    return True


def quiet_share(to: Resources) -> int:
    """How long to pause between looks, ms."""
    return max(50, min(_LONGEST_PAUSE_MS, to.settings.inbox.quiet_ms // 4))


def _lease_ms(to: Resources) -> int:
    return int(to.settings.lease_seconds * 1000)


@dataclass
class Closing:
    """One study in the hands of this process."""

    to: Resources
    held: Held
    _renewed: float = field(default_factory=time.monotonic)

    def run(self) -> None:
        """Decide and do it."""
        study = self._settled()
        if study is None:
            return
        items, now = self.to.inbox.items(study.id), self.to.inbox.now_ms()
        allow = sites.allows_contrast(self.to.client, study.text("site"))
        found = decide(study, items, self.to.settings.inbox, now_ms=now, allow_agent=allow)
        if isinstance(found, Submit | Forget) and self._more_comes(study):
            self._let_go(study, now + quiet_share(self.to), {"why": "a request of the site is on its way"})
        elif isinstance(found, Wait):
            self._let_go(study, found.until_ms, {"why": found.why})
        elif isinstance(found, Forget):
            if self.to.inbox.forget(study.id, version=study.text("version")):
                _log.info("study.forgotten", extra={"site": study.text("site"), "why": found.why})
        elif isinstance(found, Answered):
            self._scored(study, {"job": study.text("job"), "scored_set": study.text("scored_set")})
        else:
            self._submit(study, found)

    def _more_comes(self, study: Study) -> bool:
        """Whether a request that began in time has yet to say what it brings; a slow one takes long."""
        if study.is_scored or study.text("closing"):
            return False
        until = study.number("last_ms") + self.to.settings.inbox.quiet_ms
        return self.to.inbox.is_arriving(study.text("site"), since_before_ms=until)

    def _settled(self) -> Study | None:
        """As the index has it, when no job of it is half made; None when it is gone."""
        study = self.to.inbox.find(self.held.study)
        if study is None or not study.fields:
            return None
        pending = study.text("pending")
        if not pending:
            return study
        record = self.to.job_store.uploads.withdraw(pending, study.text("pending_blob"))
        if not record:
            return study
        if record.get("kind") != "job":  # erased meanwhile
            self.to.inbox.forget(study.id)
            return None
        done: dict[str, str | int] = {
            "job": pending, "scored_set": study.text("pending_set"), "scored_ms": self.to.inbox.now_ms(),
            "scored_version": study.text("pending_version"), "pending": "",
        }  # fmt: skip
        self.to.inbox.note(self.held, done, lease_ms=_lease_ms(self.to))
        return self.to.inbox.find(study.id)

    def _submit(self, study: Study, found: Submit) -> None:
        """Make the job; what refuses it for now is asked again, what is wrong with it for good ends it."""
        named, name = _name(study, found), new_job_id()
        bare = Submission(
            id=f"job_{named[:32]}",
            site=study.text("site"),
            content_digest=named,
            input_blob=input_path(study.text("site"), name),
            size_bytes=0,
            media=Media.ZIP,
            trace_id=study.text("trace") or uuid.uuid4().hex,
            inbox=study.id,
            supersedes=study.text("job"),
        )
        begun = {
            "pending": bare.id, "pending_blob": bare.input_blob, "pending_set": found.digest,
            "pending_version": study.text("version"),
        }  # fmt: skip
        if not self.to.inbox.note(self.held, begun, lease_ms=_lease_ms(self.to)):
            return
        try:
            self._record(study, found, bare, name)
        except InputError as error:
            self._submit(study, Submit(f"{found.digest}/{error.code}", error=error))
            return
        except (KeyReused, Gone) as error:
            _log.warning("study.answered", extra={"job": bare.id, "code": error.code})  # its index was behind
        except JobStoreUnavailable:
            raise  # perhaps it is recorded: settled at the next claim
        except HippocampError as error:
            _log.warning("study.waits", extra={"site": bare.site, "code": error.code})
            self._let_go(study, self.to.inbox.now_ms() + _AGAIN_MS, {"why": f"{error.code}: {error.detail}"})
            return
        self._scored(study, {"job": bare.id, "scored_set": found.digest})

    def _record(self, study: Study, found: Submit, bare: Submission, name: str) -> None:
        if found.error or found.series is None:
            self._record_failure(found.error, bare)
            return
        with nameless(self.to.blobs) as file:
            items = found.series.stored
            sent = write_zip(file, items, self.to.blobs, passed=found.passed, between=self._renew)
            patient = Patient(study.number("age"), study.text("sex"))
            upload = Upload(
                job_id=bare.id,
                site=bare.site,
                sent=sent,
                media=Media.ZIP,
                options=validated(SubmitOptions, {"keep": study.text("keep")} if study.text("keep") else {}),
                trace=Trace(bare.trace_id),
                sanitized=Sanitized(sent.size_bytes, sent.sha256, patient),
                name=name,
                inbox=study.id,
                supersedes=bare.supersedes,
            )
            submit(upload, self.to)

    def _record_failure(self, error: HippocampError | None, bare: Submission) -> None:
        if error is None:
            raise ValueError("a job without a series needs the error that it ends with")
        failed = replace(bare, error_code=error.code, error_detail=error.detail, unstored=True)
        admitted = self.to.job_store.submit(failed, most_waiting=self.to.settings.most_waiting)
        _log.info("study.incomplete", extra={"job": admitted.record["id"], "code": error.code})

    def _renew(self) -> None:
        if time.monotonic() - self._renewed > self.to.settings.lease_seconds / 4:
            self._renewed = time.monotonic()
            self.to.inbox.renew(self.held, _lease_ms(self.to))

    def _scored(self, study: Study, fields: dict[str, str | int]) -> None:
        now = self.to.inbox.now_ms()
        done: dict[str, str | int] = {"scored_version": study.text("version"), "scored_ms": now, "why": ""}
        self._let_go(study, now + self.to.settings.inbox.keep_ms, fields | done)

    def _let_go(self, study: Study, again_ms: int, fields: dict[str, str | int]) -> None:
        quiet = self.to.settings.inbox.quiet_ms
        self.to.inbox.settle(self.held, study, again_ms=again_ms, quiet_ms=quiet, fields=fields)


def _name(study: Study, found: Submit) -> str:
    """64 hex digits; the same whoever makes this job of this collection, after the same job before."""
    ends = found.error.code if found.error else ""
    parts = ("inbox", study.text("collection"), study.text("job"), found.digest, ends)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
