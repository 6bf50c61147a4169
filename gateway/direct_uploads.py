"""Volumes that go straight into the bucket: a ticket with a signed address, and the job that names it later.

A ticket is a hash `hc:upload:<id>` with a TTL. Its bytes lie where every upload lies, so those that no job
ever names are collected like the strays they are (workers/strays.py), long after the ticket has run out.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import redis

from contracts.blobs import BlobStore, Received, SignedPut, input_path
from contracts.errors import CorruptFile, Gone, QuotaExceeded, TooLarge, TruncatedFile
from contracts.job import Job, Submission
from gateway.errors import NoDirectUploads, UploadMissing, UploadNotFound, UploadUsed
from gateway.resources import Resources
from gateway.sniff import PEEK, Sniffed, sniff
from gateway.submission import Accepted, Holding, admit
from gateway.trace import Trace

URL_SECONDS = 900
TICKET_SECONDS = 1800
"""Well below the hour after which an upload without a job counts as a stray."""
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
        return input_path(self.site, self.id)


@dataclass(frozen=True)
class Opened:
    """A new ticket, where its bytes go, and until when."""

    ticket: Ticket
    put: SignedPut
    until: datetime


def open_ticket(to: Resources, *, site: str, size_bytes: int, sha256: str) -> Opened:
    """TooLarge, QuotaExceeded, or NoDirectUploads when the volumes lie in a folder."""
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
    opened = f"hc:uploads:{ticket.site}"
    to.client.zremrangebyscore(opened, "-inf", now)
    if to.client.zcard(opened) >= MOST_OPEN:
        raise QuotaExceeded(f"{MOST_OPEN} uploads are open; submit or abandon some", retry_after_seconds=60)
    fields = {"site": ticket.site, "size_bytes": str(ticket.size_bytes), "sha256": ticket.sha256}
    with to.client.pipeline(transaction=True) as pipe:
        pipe.hset(_key(ticket.id), mapping=cast("Any", fields))
        pipe.expire(_key(ticket.id), TICKET_SECONDS)
        pipe.zadd(opened, {ticket.id: now + TICKET_SECONDS})
        pipe.expire(opened, TICKET_SECONDS)
        pipe.execute()
    return now


def find_ticket(to: Resources, *, site: str, upload_id: str) -> Ticket:
    """The site's own ticket; UploadNotFound when there is none, or none any more."""
    fields = cast("dict[str, str]", to.client.hgetall(_key(upload_id)))
    if fields.get("site") != site:
        raise UploadNotFound(f"No open upload {upload_id}; ask for a new one")
    return Ticket(upload_id, site, int(fields["size_bytes"]), fields["sha256"], fields.get("job", ""))


def submit(to: Resources, ticket: Ticket, given: Mapping[str, str], *, job_id: str, trace: Trace) -> Accepted:
    """Make a job of what has arrived; as `accept` does for an upload through the gateway.

    A ticket belongs to the first job id that is submitted with it, and to no other once that job is recorded.
    """
    if ticket.job == job_id and (known := to.line.record(job_id)):
        if known.get("kind") != "job":
            raise Gone(f"Job {job_id} was erased")
        return Accepted(Job(known), replayed=True)
    received, sniffed = _check(to.blobs, ticket)
    _take(to, ticket, job_id)
    bare = Submission(
        id=job_id, site=ticket.site, content_digest=received.sha256, input_blob=received.path,
        size_bytes=received.size_bytes, media=sniffed.media, trace_id=trace.id,
        traceparent=trace.span.traceparent,
    )  # fmt: skip
    try:
        accepted = admit(bare, given, to, trace=trace, holding=Holding(discard=lambda: None))
    except BaseException:
        _give_back(to, ticket, job_id)
        raise
    to.client.zrem(f"hc:uploads:{ticket.site}", ticket.id)
    return accepted


def forget(to: Resources, job: Job) -> None:
    """The ticket of an erased job, if it came by one: nothing is to tell its digest any more."""
    to.client.delete(_key(job.text("input_blob").rpartition("/")[2]))


def _take(to: Resources, ticket: Ticket, job_id: str) -> None:
    to.client.hsetnx(_key(ticket.id), "job", job_id)
    holder = cast("str | None", to.client.hget(_key(ticket.id), "job"))
    if holder != job_id:
        raise UploadUsed(f"{ticket.id} was submitted as {holder or 'another job'} already")


def _give_back(to: Resources, ticket: Ticket, job_id: str) -> None:
    """Only when it is certain that no record names the bytes."""
    with suppress(redis.RedisError):
        if not to.line.record(job_id):
            to.client.hdel(_key(ticket.id), "job")


def _check(blobs: BlobStore, ticket: Ticket) -> tuple[Received, Sniffed]:
    """What has arrived, looked at as every upload is; the InputError it earns, or UploadMissing."""
    try:
        size, head = blobs.size(ticket.path), blobs.head(ticket.path, PEEK)
        digest = blobs.sha256(ticket.path) if size == ticket.size_bytes else ""
    except FileNotFoundError:
        raise UploadMissing(
            f"Nothing has arrived for {ticket.id}; PUT the volume to its address first"
        ) from None
    if size != ticket.size_bytes:
        raise CorruptFile(f"{ticket.size_bytes} bytes were announced, {size} arrived", size_bytes=size)
    if digest != ticket.sha256:
        raise CorruptFile(f"SHA-256 {ticket.sha256} was announced, {digest} arrived")
    sniffed = sniff(head)
    if sniffed.promised_bytes and size < sniffed.promised_bytes:
        raise TruncatedFile(
            f"The header promises {sniffed.promised_bytes} bytes, the file has {size}; send it again",
            promised_bytes=sniffed.promised_bytes, size_bytes=size,
        )  # fmt: skip
    return Received(ticket.path, size, digest), sniffed


def _key(upload_id: str) -> str:
    return f"hc:upload:{upload_id}"
