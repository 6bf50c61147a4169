"""A request's body as an upload: read into a file, and checked while it is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from io import RawIOBase
from typing import cast

from flask import Request
from werkzeug.exceptions import ClientDisconnected

from contracts.errors import BadRequest, EmptyFile, TooLarge, TruncatedFile
from gateway.access.auth import current_site
from gateway.http.errors import UnsupportedMediaType
from gateway.http.operations import validated
from gateway.http.schemas import SubmitOptions
from gateway.http.trace import trace
from gateway.monitoring.metrics import count_upload
from gateway.resources import Resources
from gateway.server.handover import BODY
from gateway.uploads.forms import VolumeStream
from gateway.uploads.spool import Sent, spooled
from gateway.uploads.upload import Upload, check_ready
from imaging.sniff import PEEK, Media, Sniffed, sniff

Piece = bytes | memoryview
_PIECE = 1 << 18
"""Bytes received at once: they stay in the core's cache while they are hashed and written."""
FORM = "multipart/form-data"
FORM_OVERHEAD = 1 << 20
"""Bytes a form may have besides the volume."""
RAW = (
    "application/octet-stream", "application/gzip", "application/x-gzip", "application/zip",
    "application/x-nifti", "application/x-mgh", "application/dicom",
)  # fmt: skip
_HEADERS = {
    "priority": "Hippocamp-Priority",
    "deadline_seconds": "Hippocamp-Deadline-Seconds",
    "not_before_seconds": "Hippocamp-Not-Before-Seconds",
    "batch": "Hippocamp-Batch",
    "keep": "Hippocamp-Keep",
    "model": "Hippocamp-Model",
    "age": "Hippocamp-Age",
    "sex": "Hippocamp-Sex",
    "education": "Hippocamp-Education",
    "mmse": "Hippocamp-MMSE",
}
_ENVIRON = {name: f"HTTP_{header.upper().replace('-', '_')}" for name, header in _HEADERS.items()}
"""The same under the names that WSGI (PEP 3333) gives them."""


@contextmanager
def received(request: Request, to: Resources, *, job_id: str) -> Iterator[Upload]:
    """The volume of a request; raises the InputError that its form, first bytes, header or length earn."""
    body = _Body(request, to)
    check_ready(to, request.content_length)
    try:
        with ExitStack() as held:
            with trace().part("receive upload"):
                sent = body.whole() or held.enter_context(spooled(body.chunks(), to.blobs))
            yield Upload(
                job_id=job_id,
                site=current_site(),
                sent=sent,
                media=body.media,
                options=validated(SubmitOptions, body.options()),
                trace=trace(),
            )
    finally:
        count_upload(body.size_bytes)


def check_declared(request: Request, to: Resources) -> None:
    """BadRequest, UnsupportedMediaType or TooLarge, by the head of a request alone."""
    _Body(request, to)


class _Body:
    """One body being read; `sniffed` and `options` are complete once it is."""

    def __init__(self, request: Request, to: Resources) -> None:
        self._request, self._most = request, to.settings.max_upload_bytes
        self._form: VolumeStream | None = None
        self._sniffed: Sniffed | None = None
        self.size_bytes = 0
        declared = request.mimetype
        if declared == FORM:
            boundary = request.mimetype_params.get("boundary", "")
            if not boundary:
                raise BadRequest("The multipart form names no boundary")
            self._form = VolumeStream(boundary)
        elif declared and declared not in RAW:
            raise UnsupportedMediaType(f"{declared} is not taken; send {FORM} or {RAW[0]}")
        if (request.content_length or 0) > self._most + FORM_OVERHEAD:
            raise self._too_large(request.content_length or 0)

    @property
    def media(self) -> Media:
        """The container that the bytes were recognised as."""
        if self._sniffed is None:
            raise EmptyFile("The body has no bytes")
        return self._sniffed.media

    def options(self) -> Mapping[str, str]:
        """What the caller asked for: form fields before headers."""
        sent = self._request.environ  # `headers` would be searched from its beginning for each
        headers = {name: sent[key] for name, key in _ENVIRON.items() if key in sent}
        return headers | (self._form.fields if self._form else {})

    def whole(self) -> Sent | None:
        """The body as the front took it, looked at; None when it has yet to be read through `chunks`."""
        sent = cast("Sent | None", self._request.environ.get(BODY))
        if sent is None or self._form:
            return None
        self._count(sent.size_bytes)
        head = sent.file.read(PEEK)
        sent.file.seek(0)
        self._sniff(head)
        self._check_whole()
        return sent

    def chunks(self) -> Iterator[Piece]:
        """The volume's bytes; a piece is good until the next is asked for."""
        stream: Iterator[Piece] = self._pieces()
        if self._form:
            stream = self._form.chunks(bytes(piece) for piece in stream)
        head = b""
        for piece in stream:
            self._count(len(piece))
            if self._sniffed:
                yield piece
                continue
            head += piece
            if len(head) >= PEEK:
                yield self._sniff(head)
        if not self._sniffed:
            yield self._sniff(head)
        self._check_whole()

    def _pieces(self) -> Iterator[memoryview]:
        size = min(_PIECE, (self._request.content_length or _PIECE) + 1)  # a new one is cleared first
        stream, piece = cast("RawIOBase", self._request.stream), memoryview(bytearray(size))
        try:
            while got := stream.readinto(piece):
                yield piece[:got]
        except (ClientDisconnected, OSError) as error:
            raise BadRequest(f"The upload broke off: {error}") from error

    def _count(self, size: int) -> None:
        self.size_bytes += size
        if self.size_bytes > self._most:
            raise self._too_large(self.size_bytes)

    def _sniff(self, head: bytes) -> bytes:
        if not head:
            raise EmptyFile("The body has no bytes")
        self._sniffed = sniff(head)
        return head

    def _check_whole(self) -> None:
        promised = self._sniffed.promised_bytes if self._sniffed else None
        if promised and self.size_bytes < promised:
            raise TruncatedFile(
                f"The header promises {promised} bytes, the file has {self.size_bytes}; send it again",
                promised_bytes=promised,
                size_bytes=self.size_bytes,
            )

    def _too_large(self, size: int) -> TooLarge:
        return TooLarge(
            f"The volume has {size} bytes or more; {self._most} are taken", limit_bytes=self._most
        )
