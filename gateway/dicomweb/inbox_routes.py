"""What is collected of the caller's studies: list it, say that a study is whole, drop it, find its jobs."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from flask import Blueprint, url_for

from contracts.errors import JobNotFound
from contracts.job import Job as Record
from gateway.access.auth import current_site
from gateway.dicomweb.collecting import Sender
from gateway.dicomweb.decision import OTHERS
from gateway.dicomweb.inbox_schemas import CollectedSeries, CollectedStudy, Inbox, StudyJobs
from gateway.http.errors import StudyNotFound
from gateway.http.operations import Operation, ViewAnswer, operation
from gateway.http.schemas import JobSummary
from gateway.jobs import views
from gateway.resources import resources
from jobstore.inbox_records import Study, study_key

blueprint = Blueprint("inbox", __name__)

_STUDY = "/dicom-web/studies/<study_uid>"


@blueprint.get("/v1/inbox")
@operation(Operation("List the studies that are being collected", "dicomweb", {200: Inbox}))
def index() -> Inbox:
    """What STOW-RS and C-STORE brought of each study so far, and what it waits for."""
    index = resources().inbox
    found = (index.find(name) for name in index.studies(current_site()))
    return Inbox(studies=[_shown(one) for one in found if one and one.fields])


@blueprint.get(f"{_STUDY}/jobs")
@operation(Operation("Find the jobs of a study", "dicomweb", {200: StudyJobs}, errors=(StudyNotFound,)))
def jobs(study_uid: str) -> StudyJobs:
    """The jobs that were made of what STOW-RS and C-STORE brought; a later one supersedes those before it."""
    study = _own(study_uid)
    found = [one for one in map(_summary, study.jobs) if one]
    return StudyJobs(collected=_shown(study) if study.fields else None, jobs=found)


@blueprint.post(f"{_STUDY}/close")
@operation(Operation("Say that a study is whole", "dicomweb", {202: CollectedStudy}, errors=(StudyNotFound,)))
def close(study_uid: str) -> ViewAnswer:
    """It becomes a job at once. When images are missing, the job fails and says which."""
    study = _own(study_uid)
    if not resources().inbox.close(study.id):
        raise StudyNotFound(f"Nothing is collected of study {study_uid}")
    return ViewAnswer(_shown(study), 202)


@blueprint.delete(_STUDY)
@operation(Operation("Drop what is collected of a study", "dicomweb", {204: None}, errors=(StudyNotFound,)))
def drop(study_uid: str) -> ViewAnswer:
    """Its instances are deleted; jobs that were made of it stay until they are erased."""
    if not resources().inbox.forget(_own(study_uid).id):
        raise StudyNotFound(f"Nothing is collected of study {study_uid}")
    return ViewAnswer(None, 204)


def _own(study_uid: str) -> Study:
    """By its UID as it was sent, or as it is stored; StudyNotFound."""
    site, secret = current_site(), resources().settings.uid_secret
    for uid in {Sender(site, secret=secret).stored_uid(study_uid): None, study_uid: None}:
        if found := resources().inbox.find(study_key(site, uid)):
            return found
    raise StudyNotFound(f"Nothing is known of study {study_uid}")


def _summary(job_id: str) -> JobSummary | None:
    try:
        record: Record = resources().job_store.get(job_id)
    except JobNotFound:
        return None
    return views.summary(record)


def _shown(study: Study) -> CollectedStudy:
    uid, scored = study.text("uid"), study.is_scored
    quiet = resources().settings.inbox.quiet_seconds
    return CollectedStudy(
        study=uid,
        state="submitted" if scored else "collecting",
        waits_for=None if scored else study.text("why") or f"quiet for {quiet:g} s",
        series=_series(study),
        instances=study.number("instances"),
        bytes=study.number("bytes"),
        opened_at=_time(study.number("opened_ms")),
        last_at=_time(study.number("last_ms")),
        job=study.text("job") or None,
        jobs=url_for("inbox.jobs", study_uid=uid),
    )


def _series(study: Study) -> list[CollectedSeries]:
    found = []
    for name in (one[1:] for one in study.series if one.startswith("#")):
        told = json.loads(study.series.get(name) or study.series.get(name + OTHERS) or "{}")
        number, words, count = (
            int(told.get("number", 0)),
            str(told.get("words", "")),
            study.series[f"#{name}"],
        )
        found.append(CollectedSeries(number=number, description=words, instances=int(count)))
    return sorted(found, key=lambda one: (one.number, one.description))


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, tz=UTC)
