"""A multipart form read as it arrives: small fields are kept, the file part is handed on in pieces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from multipart import MultipartError, MultipartSegment, PushMultipartParser

from contracts.errors import BadRequest

_MOST_FIELD = 1 << 12
_MOST_PARTS = 20
FILE_PART = "file"


@dataclass
class VolumeStream:
    """The one file of a form; `fields` is complete once `chunks` is exhausted."""

    boundary: str
    fields: dict[str, str] = field(default_factory=dict)
    files: int = 0
    _open: str = ""

    def chunks(self, body: Iterator[bytes]) -> Iterator[bytes]:
        """Pieces of the part named `file`; BadRequest when the form is broken or has not exactly one."""
        try:
            yield from self._parse(body)
        except MultipartError as error:
            raise BadRequest(f"The multipart form is broken: {error}") from None
        if self.files == 0:
            raise BadRequest(f"The form has no part named {FILE_PART!r}; put the volume there")

    def _parse(self, body: Iterator[bytes]) -> Iterator[bytes]:
        with PushMultipartParser(self.boundary, max_segment_count=_MOST_PARTS) as parser:
            for piece in body:
                for event in parser.parse(piece):
                    if isinstance(event, MultipartSegment):
                        self._begin(event.name)
                    elif event and self._open == FILE_PART:
                        yield bytes(event)
                    elif event:
                        self._keep(bytes(event))

    def _begin(self, name: str) -> None:
        self._open = name
        self.files += name == FILE_PART
        if self.files > 1:
            raise BadRequest(f"The form has several parts named {FILE_PART!r}; send one volume a request")

    def _keep(self, data: bytes) -> None:
        text = self.fields.get(self._open, "") + data.decode("utf-8", "replace")
        if len(text) > _MOST_FIELD:
            raise BadRequest(f"The form field {self._open!r} is over {_MOST_FIELD} characters")
        self.fields[self._open] = text
