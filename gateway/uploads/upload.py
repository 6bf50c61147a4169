"""An upload as every door hands it to `submit`, and what is asked before its bytes are taken."""

from __future__ import annotations

from dataclasses import dataclass, field

from contracts.job import Submission, new_job_id
from gateway.http.schemas import SubmitOptions
from gateway.http.trace import Trace
from gateway.resources import Resources
from gateway.uploads.sanitize.task import Sanitized
from gateway.uploads.spool import Sent
from imaging.patient import asked_for
from imaging.sniff import Media
from runtime.blobs import input_path

_SMALL = 1 << 20
"""Bytes that may be sent in vain."""


@dataclass(frozen=True, kw_only=True)
class Upload:
    """One volume and what was asked of it.

    sent: its bytes, in a file. sanitized: what was found, when the door has removed what names a person
    already. name: of its blob. inbox: the study it was collected from; supersedes: the job that it replaces.
    """

    job_id: str
    site: str
    sent: Sent
    media: Media
    options: SubmitOptions
    trace: Trace
    sanitized: Sanitized | None = None
    name: str = field(default_factory=new_job_id)
    inbox: str = ""
    supersedes: str = ""

    @property
    def blob(self) -> str:
        """Where it is stored."""
        return input_path(self.site, self.name)

    @property
    def kept(self) -> frozenset[str]:
        """What of the patient is noted with the job."""
        return asked_for(self.options.keep or "")


def check_ready(to: Resources, size_bytes: int | None) -> None:
    """DiskNearlyFull; and unless they are few bytes, a RedisError when Redis does not answer."""
    to.disks.check()
    if size_bytes is None or size_bytes > _SMALL:
        to.client.ping()


def check_room(to: Resources, site: str, *, job_id: str = "") -> None:
    """DiskNearlyFull, Backlog or QuotaExceeded when the next volume of the site would not be taken.

    job_id: of a request that may be repeated; one whose job is recorded needs no room.
    """
    if job_id and to.job_store.record(job_id):
        return
    to.disks.check()
    unknown = Submission(
        id=job_id or new_job_id(), site=site, content_digest="", input_blob="", size_bytes=0, media=""
    )
    to.job_store.check_room(unknown, most_waiting=to.settings.most_waiting)
