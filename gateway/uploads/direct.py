"""Volumes that go straight into the bucket: a ticket with a signed address, and the job that names it later.

A ticket is a hash with a TTL. What was sent lies beside the uploads until it is submitted;
then it is read and sanitized as every upload is, and deleted. Bytes that are never submitted are collected
like every orphaned upload (workers/maintenance/orphaned_uploads.py), long after the ticket has run out.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, cast

import redis

from contracts.errors import (
    CorruptFile,
    Gone,
    JobStoreUnavailable,
    QuotaExceeded,
    StoreUnavailable,
    TooLarge,
)
from contracts.job import Job
from gateway.http.errors import NoDirectUploads, UploadMissing, UploadNotFound, UploadUsed
from gateway.http.schemas import SubmitOptions
from gateway.http.trace import Trace
from gateway.resources import Resources
from gateway.uploads.spool import spooled
from gateway.uploads.submit import Accepted, submit
from gateway.uploads.upload import Upload, check_ready
from imaging.sniff import PEEK, sniff
from jobstore import keys
from runtime.blobs import BlobStore, SignedPut, sent_path

_log = logging.getLogger("hippocamp.gateway")

URL_SECONDS = 900
TICKET_SECONDS = 1800
"""Well below the hour after which an upload without a job counts as orphaned."""
MOST_OPEN = 1000
"""Tickets of one site at a time."""


@dataclass(frozen=True)
class Ticket:
    """Leave to bring one volume; `job` is the id that was submitted with it, "" before."""

    id: str
    site: str
    size_bytes: int
    sha256: str
    job: str = ""

    @property
    def path(self) -> str:
        """Where its bytes lie."""
        return sent_path(self.site, self.id)


@dataclass(frozen=True)
class Opened:
    """A new ticket, where its bytes go, and until when."""

    ticket: Ticket
    put: SignedPut
    until: datetime


def open_ticket(to: Resources, *, site: str, size_bytes: int, sha256: str) -> Opened:
    """TooLarge, QuotaExceeded, DiskNearlyFull, or NoDirectUploads when the volumes lie in a folder."""
    to.disks.check()
    ticket = Ticket(f"upl_{uuid.uuid4().hex}", site, size_bytes, sha256)
    put = to.blobs.signed_put(
        ticket.path, size_bytes=size_bytes, sha256=sha256, seconds=URL_SECONDS,
        endpoint=to.settings.public_blobs,
    )  # fmt: skip
    if put is None:
        raise NoDirectUploads("The volumes of this installation lie in a folder; send them to POST /v1/jobs")
    most = to.settings.max_upload_bytes
    if size_bytes > most:
        raise TooLarge(f"The volume has {size_bytes} bytes; {most} are taken", limit_bytes=most)
    now = _keep(to, ticket)
    return Opened(ticket, put, datetime.fromtimestamp(now + URL_SECONDS, tz=UTC))


def _keep(to: Resources, ticket: Ticket) -> int:
    now = int(cast("Any", to.client.time())[0])
    opened = keys.tickets(ticket.site)
    to.client.zremrangebyscore(opened, "-inf", now)
    if to.client.zcard(opened) >= MOST_OPEN:
        raise QuotaExceeded(
            f"{MOST_OPEN} uploads are open; submit or abandon some", retry_after_seconds=60, quota="uploads"
        )
    fields = {"site": ticket.site, "size_bytes": str(ticket.size_bytes), "sha256": ticket.sha256}
    with to.client.pipeline(transaction=True) as pipe:
        pipe.hset(keys.ticket(ticket.id), mapping=cast("Any", fields))
        pipe.expire(keys.ticket(ticket.id), TICKET_SECONDS)
        pipe.zadd(opened, {ticket.id: now + TICKET_SECONDS})
        pipe.expire(opened, TICKET_SECONDS)
        pipe.execute()
    return now


def find_ticket(to: Resources, *, site: str, upload_id: str) -> Ticket:
    """The site's own ticket; UploadNotFound when there is none, or none any more."""
    fields = cast("dict[str, str]", to.client.hgetall(keys.ticket(upload_id)))
    if fields.get("site") != site:
        raise UploadNotFound(f"No open upload {upload_id}; ask for a new one")
    return Ticket(upload_id, site, int(fields["size_bytes"]), fields["sha256"], fields.get("job", ""))


def submit_direct(
    to: Resources, ticket: Ticket, options: SubmitOptions, *, job_id: str, trace: Trace
) -> Accepted:
    """Make a job of what has arrived.

    A ticket belongs to the first job id that is submitted with it, and to no other once that job is recorded.
    """
    if replayed := _replayed(to, ticket, job_id):
        return replayed
    _check(to.blobs, ticket)
    _take(to, ticket, job_id)
    try:
        with _fetched(to, ticket, options, job_id=job_id, trace=trace) as upload:
            accepted = submit(upload, to)
    except FileNotFoundError:
        if replayed := _replayed(to, replace(ticket, job=job_id), job_id):
            return replayed  # the same call, at the same time, was faster
        raise UploadMissing(f"What arrived for {ticket.id} is gone; open another upload") from None
    except Exception as error:
        if not _may_be_recorded(error):
            _give_back(to, ticket, job_id)
        raise
    _end(to, ticket)
    return accepted


@contextmanager
def _fetched(
    to: Resources, ticket: Ticket, options: SubmitOptions, *, job_id: str, trace: Trace
) -> Iterator[Upload]:
    """What arrived, on this machine; CorruptFile unless it is what was announced, FileNotFoundError."""
    check_ready(to, ticket.size_bytes)
    with ExitStack() as held:
        with trace.part("receive upload"):
            media = sniff(next(to.blobs.pieces(ticket.path, PEEK))).media  # before a gigabyte is fetched
            sent = held.enter_context(spooled(to.blobs.pieces(ticket.path), to.blobs))
        if sent.sha256 != ticket.sha256:
            raise CorruptFile(f"SHA-256 {ticket.sha256} was announced, {sent.sha256} arrived")
        yield Upload(job_id=job_id, site=ticket.site, sent=sent, media=media, options=options, trace=trace)


def _replayed(to: Resources, ticket: Ticket, job_id: str) -> Accepted | None:
    if not ticket.job:
        return None
    known = to.job_store.record(ticket.job)
    if known and ticket.job != job_id:
        raise UploadUsed(f"{ticket.id} was submitted as {ticket.job} already")
    if not known:
        return None
    if known.get("kind") != "job":
        raise Gone(f"Job {job_id} was erased")
    return Accepted(Job(known), replayed=True)


def _end(to: Resources, ticket: Ticket) -> None:
    """The job is recorded: what was sent goes, and what the ticket knows of it; not that it was used."""
    try:
        to.blobs.delete(ticket.path)
    except StoreUnavailable:
        _log.warning("upload.not_discarded", extra={"path": ticket.path})  # orphaned, collected in an hour
    with suppress(redis.RedisError):
        to.client.hset(keys.ticket(ticket.id), mapping={"sha256": "", "size_bytes": "0"})
        to.client.zrem(keys.tickets(ticket.site), ticket.id)


def _take(to: Resources, ticket: Ticket, job_id: str) -> None:
    to.client.hsetnx(keys.ticket(ticket.id), "job", job_id)
    holder = cast("str | None", to.client.hget(keys.ticket(ticket.id), "job"))
    if holder != job_id:
        raise UploadUsed(f"{ticket.id} was submitted as {holder or 'another job'} already")


def _may_be_recorded(error: Exception) -> bool:
    """Redis's answer is missing, so the record may come yet: the same call again will tell."""
    broken = (redis.RedisError, JobStoreUnavailable)
    return isinstance(error, broken) or isinstance(error.__cause__, broken)


def _give_back(to: Resources, ticket: Ticket, job_id: str) -> None:
    """It was refused, so no record names the bytes; unless the same call at the same time was not."""
    with suppress(redis.RedisError):
        if not to.job_store.record(job_id):
            to.client.hdel(keys.ticket(ticket.id), "job")


def _check(blobs: BlobStore, ticket: Ticket) -> None:
    """Whether what was announced has arrived, before it is fetched; CorruptFile or UploadMissing."""
    try:
        size = blobs.size(ticket.path)
    except FileNotFoundError:
        raise UploadMissing(
            f"Nothing has arrived for {ticket.id}; PUT the volume to its address first"
        ) from None
    if size != ticket.size_bytes:
        raise CorruptFile(f"{ticket.size_bytes} bytes were announced, {size} arrived", size_bytes=size)
