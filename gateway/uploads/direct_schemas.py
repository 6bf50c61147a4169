"""The wire types of direct uploads."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from gateway.http.schemas import SubmitOptions, Wire

UPLOAD_ID = "^upl_[0-9a-f]{32}$"


class UploadRequest(Wire):
    """A volume that will be put into the bucket."""

    size_bytes: int = Field(ge=1, le=2**40, description="Exact size of the file")
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of the file, in lower-case hex")


class UploadTicket(Wire):
    """Where to put it, and what to say later."""

    id: str = Field(pattern=UPLOAD_ID, description="Name it as `upload` when you submit")
    method: Literal["PUT"]
    url: str = Field(description="Send the file here; it needs no key of yours")
    headers: dict[str, str] = Field(description="Send exactly these with it")
    expires_at: datetime = Field(description="Until when the address takes the file")


class UploadedVolume(SubmitOptions):
    """A submission of what was put into the bucket."""

    upload: str = Field(pattern=UPLOAD_ID, description="`id` of the ticket")
