"""A PACS that speaks DICOMweb: QIDO-RS to find the study, STOW-RS to store (PS3.18, 10.6 and 10.5)."""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx
from pydicom import Dataset

from client.errors import PacsRefused, PacsUnavailable
from pacs.study import FIELDS

_SECONDS = 30.0


@dataclass(frozen=True)
class WebPacs:
    """`url` ends where /studies begins; `authorization` is that header's value, "" for none.

    HTTPS_PROXY, NO_PROXY and SSL_CERT_FILE are honoured; redirects are not followed: credentials stay here.
    """

    url: str
    authorization: str = field(default="", repr=False)

    def find_study(self, uid: str) -> Dataset | None:
        """The study's attributes as the PACS has them, None when it has no such study."""
        query = {"StudyInstanceUID": uid, "includefield": ",".join(FIELDS)}
        answer = self._send("GET", params=query, headers={"Accept": "application/dicom+json"})
        if answer.status_code == httpx.codes.NO_CONTENT:
            return None
        try:
            found = answer.json()
        except json.JSONDecodeError as error:
            raise PacsUnavailable("the PACS's answer to a query is no JSON") from error
        return Dataset.from_json(found[0]) if found else None

    def store(self, instances: Sequence[Dataset]) -> None:
        """Store all of them; an instance that is there already counts as stored."""
        boundary = uuid.uuid4().hex
        kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
        headers = {"Content-Type": kind, "Accept": "application/dicom+json"}
        answer = self._send("POST", content=_multipart(instances, boundary), headers=headers)
        if answer.status_code != httpx.codes.OK:
            raise PacsRefused(f"the PACS stored not everything: HTTP {answer.status_code}")

    def _send(self, method: str, **parts: object) -> httpx.Response:
        with httpx.Client(timeout=_SECONDS, follow_redirects=False) as http:
            if self.authorization:
                http.headers["Authorization"] = self.authorization
            try:
                answer = http.request(method, f"{self.url.rstrip('/')}/studies", **parts)  # type: ignore[arg-type]
            except httpx.TransportError as error:
                raise PacsUnavailable(f"no answer from the PACS: {type(error).__name__}") from error
        if answer.status_code >= 500 or answer.status_code in {408, 429}:
            raise PacsUnavailable(f"the PACS answers HTTP {answer.status_code}")
        if answer.status_code >= 300 and answer.status_code != httpx.codes.CONFLICT:
            raise PacsRefused(f"the PACS answers HTTP {answer.status_code}; see its address and credentials")
        return answer


def _multipart(instances: Sequence[Dataset], boundary: str) -> bytes:
    out = io.BytesIO()
    for one in instances:
        out.write(f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode())
        part = io.BytesIO()
        one.save_as(part, enforce_file_format=True)
        out.write(part.getvalue() + b"\r\n")
    out.write(f"--{boundary}--\r\n".encode())
    return out.getvalue()
