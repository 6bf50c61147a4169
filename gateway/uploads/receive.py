"""The body of a submission as a stream of volume bytes, checked while it flows into the blob store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import RawIOBase
from typing import IO, cast

from flask import Request
from werkzeug.exceptions import ClientDisconnected

from contracts.errors import BadRequest, EmptyFile, TooLarge, TruncatedFile
from gateway.access.auth import current_site
from gateway.http.errors import UnsupportedMediaType
from gateway.resources import Resources
from gateway.server.handover import BODY
from gateway.uploads.forms import VolumeStream
from gateway.uploads.reading_costs import charge
from gateway.uploads.sanitize.children import Payer
from gateway.uploads.sanitize.task import Cleaned, Kind, Task
from gateway.uploads.spool import Sent
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

KINDS = {
    Media.ZIP: Kind.ARCHIVE, Media.DICOM: Kind.ARCHIVE, Media.DICOM_GZ: Kind.ARCHIVE,
    Media.NIFTI_GZ: Kind.PACKED, Media.MGZ: Kind.PACKED, Media.NIFTI: Kind.VOLUME, Media.MGH: Kind.VOLUME,
}  # fmt: skip
"""How each container is read."""


def clean(sniffed: Sniffed | None, to: Resources, sent: Sent, out: IO[bytes], *, site: str) -> Cleaned:
    """`Incoming.clean` for one container; only what is fetched over a network is hashed once more."""
    kind = KINDS[sniffed.media] if sniffed else Kind.VOLUME
    limits = to.settings.max_upload_bytes, to.settings.uid_secret
    task = Task(kind, *limits, hashed=to.blobs.folder is None, in_place=out is sent.file)
    return to.children.clean(task, sent.file, out, payer=payer(to, site))


def payer(to: Resources, site: str) -> Payer:
    """The site pays for what reading its upload takes."""
    return Payer(site, lambda cpu_seconds: charge(to.client, site, cpu_seconds))


@dataclass
class Upload:
    """One submission being read; `sniffed` and `options` are complete once `chunks` is exhausted."""

    request: Request
    to: Resources
    sniffed: Sniffed | None = None
    size_bytes: int = 0
    _form: VolumeStream | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        declared = self.request.mimetype
        if declared == FORM:
            boundary = self.request.mimetype_params.get("boundary", "")
            if not boundary:
                raise BadRequest("The multipart form names no boundary")
            self._form = VolumeStream(boundary)
        elif declared and declared not in RAW:
            raise UnsupportedMediaType(f"{declared} is not taken; send {FORM} or {RAW[0]}")
        if (self.request.content_length or 0) > self.to.settings.max_upload_bytes + FORM_OVERHEAD:
            raise self._too_large(self.request.content_length or 0)

    @property
    def options(self) -> Mapping[str, str]:
        """What the caller asked for: form fields before headers."""
        sent = self.request.environ  # `headers` would be searched from its beginning for each
        headers = {name: sent[key] for name, key in _ENVIRON.items() if key in sent}
        return headers | (self._form.fields if self._form else {})

    @property
    def announced_bytes(self) -> int | None:
        """As the request's head tells it."""
        return self.request.content_length

    def chunks(self) -> Iterator[Piece]:
        """The volume's bytes; raises the InputError its first bytes, its header or its length earn it.

        A piece is good until the next is asked for.
        """
        stream: Iterator[Piece] = self._body()
        if self._form:
            stream = self._form.chunks(bytes(piece) for piece in stream)
        head = b""
        for piece in stream:
            self.size_bytes += len(piece)
            if self.size_bytes > self.to.settings.max_upload_bytes:
                raise self._too_large(self.size_bytes)
            if self.sniffed:
                yield piece
                continue
            head += piece
            if len(head) >= PEEK:
                self.sniffed = sniff(head)
                yield head
        if not self.sniffed:
            yield self._short(head)
        self._check_whole()

    def whole(self) -> Sent | None:
        """The body as the front took it, looked at; None when it has yet to be read through `chunks`.

        Raises what `chunks` would.
        """
        sent = cast("Sent | None", self.request.environ.get(BODY))
        if sent is None or self._form:
            return None
        self.size_bytes = sent.size_bytes
        if self.size_bytes > self.to.settings.max_upload_bytes:
            raise self._too_large(self.size_bytes)
        head = sent.file.read(PEEK)
        sent.file.seek(0)
        self._short(head)
        self._check_whole()
        return sent

    def clean(self, sent: Sent, out: IO[bytes]) -> Cleaned:
        """The volume without the text of its headers, its names, and what lies beside it."""
        return clean(self.sniffed, self.to, sent, out, site=current_site())

    def _body(self) -> Iterator[memoryview]:
        size = min(_PIECE, (self.request.content_length or _PIECE) + 1)  # a new one is cleared first
        stream, piece = cast("RawIOBase", self.request.stream), memoryview(bytearray(size))
        try:
            while got := stream.readinto(piece):
                yield piece[:got]
        except (ClientDisconnected, OSError) as error:
            raise BadRequest(f"The upload broke off: {error}") from error

    def _short(self, head: bytes) -> bytes:
        if not head:
            raise EmptyFile("The body has no bytes")
        self.sniffed = sniff(head)
        return head

    def _check_whole(self) -> None:
        promised = self.sniffed.promised_bytes if self.sniffed else None
        if promised and self.size_bytes < promised:
            raise TruncatedFile(
                f"The header promises {promised} bytes, the file has {self.size_bytes}; send it again",
                promised_bytes=promised,
                size_bytes=self.size_bytes,
            )

    def _too_large(self, size: int) -> TooLarge:
        return TooLarge(
            f"The volume has {size} bytes or more; {self.to.settings.max_upload_bytes} are taken",
            limit_bytes=self.to.settings.max_upload_bytes,
        )
