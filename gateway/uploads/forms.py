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
    _seen: set[str] = field(default_factory=set)
    _open: str = ""

    def chunks(self, body: Iterator[bytes]) -> Iterator[bytes]:
        """Pieces of the part named `file`; BadRequest when the form is broken or has not exactly one."""
        try:
            yield from self._parse(body)
        except MultipartError as error:
            raise BadRequest(f"The multipart form is broken: {error}") from None
        if FILE_PART not in self._seen:
            raise BadRequest(f"The form has no part named {FILE_PART!r}; put the volume there")

    def _parse(self, body: Iterator[bytes]) -> Iterator[bytes]:
        with PushMultipartParser(self.boundary, max_segment_count=_MOST_PARTS) as parser:
            for piece in body:
                for event in parser.parse(piece):
                    if isinstance(event, MultipartSegment):
                        self._begin(event.name, is_file=event.filename is not None)
                    elif event and self._open == FILE_PART:
                        yield bytes(event)
                    elif event:
                        self._keep(bytes(event))

    def _begin(self, name: str, *, is_file: bool) -> None:
        if is_file and name != FILE_PART:
            raise BadRequest(f"The form has a file in the field {name!r}; the field is called {FILE_PART!r}")
        if name in self._seen:
            what = "one volume a request" if name == FILE_PART else "each field once"
            raise BadRequest(f"The form has several parts named {name!r}; send {what}")
        self._seen.add(name)
        self._open = name

    def _keep(self, data: bytes) -> None:
        text = self.fields.get(self._open, "") + data.decode("utf-8", "replace")
        if len(text) > _MOST_FIELD:
            raise BadRequest(f"The form field {self._open!r} is over {_MOST_FIELD} characters")
        self.fields[self._open] = text
