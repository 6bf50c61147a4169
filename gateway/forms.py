"""A multipart form read as it arrives: small fields are kept, the file part is handed on in pieces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.sansio.multipart import Data, Epilogue, Event, Field, File, MultipartDecoder, NeedData

from contracts.errors import BadRequest

_MOST_BUFFER = 1 << 21
"""Bytes the decoder may hold: a piece of the body, or a preamble that never ends."""
_MOST_FIELD = 1 << 12
_MOST_PARTS = 20
FILE_PART = "file"


@dataclass
class VolumeStream:
    """The one file of a form; `fields` is complete once `chunks` is exhausted."""

    boundary: bytes
    fields: dict[str, str] = field(default_factory=dict)
    files: int = 0
    _open: str | None = None

    def chunks(self, body: Iterator[bytes]) -> Iterator[bytes]:
        """Pieces of the part named `file`; BadRequest when the form is broken or has not exactly one."""
        decoder = MultipartDecoder(self.boundary, _MOST_BUFFER, max_parts=_MOST_PARTS)
        for piece in body:
            _feed(decoder, piece)
            yield from self._drain(decoder)
        decoder.receive_data(None)
        yield from self._drain(decoder)
        if self.files == 0:
            raise BadRequest(f"The form has no part named {FILE_PART!r}; put the volume there")

    def _drain(self, decoder: MultipartDecoder) -> Iterator[bytes]:
        while True:
            event = _next(decoder)
            if isinstance(event, (NeedData, Epilogue)):
                return
            data = self._take(event)
            if data:
                yield data

    def _take(self, event: Event) -> bytes:
        if isinstance(event, (File, Field)):
            self._open = event.name
            self.files += event.name == FILE_PART
            if self.files > 1:
                raise BadRequest(f"The form has several parts named {FILE_PART!r}; send one volume a request")
        elif isinstance(event, Data):
            if self._open == FILE_PART:
                return event.data
            self._keep(event.data)
        return b""

    def _keep(self, data: bytes) -> None:
        text = self.fields.get(self._open or "", "") + data.decode("utf-8", "replace")
        if len(text) > _MOST_FIELD:
            raise BadRequest(f"The form field {self._open!r} is over {_MOST_FIELD} characters")
        self.fields[self._open or ""] = text


def _feed(decoder: MultipartDecoder, piece: bytes) -> None:
    try:
        decoder.receive_data(piece)
    except RequestEntityTooLarge:
        raise BadRequest("The multipart form has no boundary where one must be") from None


def _next(decoder: MultipartDecoder) -> Event:
    try:
        return decoder.next_event()
    except RequestEntityTooLarge:
        raise BadRequest(f"The form has more than {_MOST_PARTS} parts") from None
    except ValueError as error:
        raise BadRequest(f"The multipart form is broken: {error}") from None
