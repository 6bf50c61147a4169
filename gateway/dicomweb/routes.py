"""STOW-RS: `POST /dicom-web/studies` collects what a PACS sends; what is collected, and that it is whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import partial
from typing import IO, Any

import redis
from flask import Blueprint, Request, Response, request, url_for
from werkzeug.exceptions import ClientDisconnected

from contracts.errors import Backlog, BadRequest, StoreUnavailable, TooLarge
from gateway.access.auth import current_site
from gateway.dicomweb.collecting import Sender, collect
from gateway.dicomweb.related import PartReader
from gateway.dicomweb.store import MEDIA_TYPE, Store
from gateway.http.errors import UnsupportedMediaType
from gateway.http.operations import Header, Operation, operation, validated
from gateway.http.schemas import KEEP, SubmitOptions
from gateway.http.trace import trace_id
from gateway.monitoring.metrics import count_upload
from gateway.resources import resources
from gateway.server.handover import ARRIVAL
from gateway.uploads.reading_costs import charge
from gateway.uploads.sanitize.task import Kind, Task
from gateway.uploads.spool import nameless, spooled
from gateway.uploads.upload import check_room
from imaging.limits import MAX_DICOM_FILE
from jobstore import sites

blueprint = Blueprint("dicomweb", __name__, url_prefix="/dicom-web/studies")

_ANSWER = "application/dicom+json"
_PIECE = 1 << 18
_KEPT = {"type": "string", "pattern": KEEP}


def _check_head() -> int:
    """What is wrong with a study before it comes; what it may measure."""
    most = _most_bytes()
    _boundary(request)
    check_room(resources(), current_site())
    request.environ[ARRIVAL] = resources().inbox.arrives(current_site())
    return most


def _most_bytes() -> int:
    most = resources().settings.max_upload_bytes
    if (request.content_length or 0) > most:
        raise TooLarge(f"The request has {request.content_length} bytes; {most} are taken", limit_bytes=most)
    return most


_STORE = Operation(
    "Store DICOM instances (STOW-RS)",
    "dicomweb",
    {200: _ANSWER, 202: _ANSWER, 409: _ANSWER},
    errors=(BadRequest, TooLarge, UnsupportedMediaType, Backlog, StoreUnavailable),
    headers={"Hippocamp-Keep": Header("what of a header to note with the job: age, sex or both", _KEPT)},
    head=_check_head,
    uploads={f'multipart/related; type="{MEDIA_TYPE}"': None},
)


@blueprint.post("")
@operation(_STORE)
def store() -> Response:
    """Collect T1 series by study. RetrieveURL: where the study's jobs are found once it is whole."""
    return _store("")


@blueprint.post("/<study_uid>")
@operation(_STORE)
def store_study(study_uid: str) -> Response:
    """The same, for instances of one study only."""
    return _store(study_uid)


def _store(study_uid: str) -> Response:
    """While it is on its way, no study that it may belong to is taken for whole."""
    arrival = request.environ.get(ARRIVAL) or resources().inbox.arrives(current_site())
    try:
        return _stored(study_uid)
    finally:
        with suppress(redis.RedisError):
            resources().inbox.arrived(current_site(), arrival)


def _stored(study_uid: str) -> Response:
    to = resources()
    request.max_content_length = _most_bytes()
    parts = PartReader(_body(request), _boundary(request), most_bytes=MAX_DICOM_FILE).parts()
    check_room(to, current_site())
    transaction = Store(study_uid)
    with ExitStack() as held:
        sent = held.enter_context(spooled(transaction.instances(parts), to.blobs))
        clean = held.enter_context(nameless(to.blobs))
        transaction.sort(_read(sent.file, clean, transaction.sizes))
        transaction.note(collect(transaction.brought, clean, _sender(), to))
    answer = transaction.answer(_address)
    return Response(answer.to_json(), transaction.status, content_type=_ANSWER)


def _sender() -> Sender:
    keep = validated(SubmitOptions, {"keep": request.headers.get("Hippocamp-Keep")}).keep
    to, site = resources(), current_site()
    return Sender(
        site, keep or "", to.settings.uid_secret, trace_id(), sites.allows_contrast(to.client, site)
    )


def _read(sent: IO[bytes], clean: IO[bytes], sizes: list[int]) -> tuple[dict[str, Any], ...]:
    to = resources()
    settings = to.settings
    task = Task(Kind.INSTANCES, settings.max_upload_bytes, settings.uid_secret, tuple(sizes))
    pays = partial(charge, to.client, current_site())
    return to.sandbox.sanitize(task, sent, clean, site=current_site(), charge=pays).instances


def _boundary(sent: Request) -> str:
    kind = sent.mimetype_params.get("type", MEDIA_TYPE)
    if sent.mimetype != "multipart/related" or kind != MEDIA_TYPE:
        raise UnsupportedMediaType(f'Send multipart/related; type="{MEDIA_TYPE}"')
    return sent.mimetype_params.get("boundary", "")


def _body(sent: Request) -> Iterator[bytes]:
    try:
        while piece := sent.stream.read(_PIECE):
            count_upload(len(piece))
            yield piece
    except (ClientDisconnected, OSError) as error:
        raise BadRequest(f"The upload broke off: {error}") from error


def _address(study_uid: str) -> str:
    return url_for("inbox.jobs", study_uid=study_uid, _external=True)
