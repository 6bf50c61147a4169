"""`Idempotency-Key`: the key becomes the job's id, so the job store refuses to take the same job twice.

Nothing has to be remembered beside the record: a gateway killed between the durable record and the answer
leaves exactly what the repeated request will find. Of two requests in flight both upload; one record wins.
"""

from __future__ import annotations

import hashlib
import re

from contracts.errors import BadRequest
from contracts.job import Job, Submission, new_job_id
from gateway.http.errors import KeyReused

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
KEY = "^[!-~]([ -~]{0,253}[!-~])?$"
"""What a key looks like: 1 to 255 printable ASCII characters."""


def checked(key: str | None) -> str:
    """The key as it was sent, "" when none was; BadRequest for one that makes no sense."""
    if key is not None and not re.fullmatch(KEY, key):
        raise BadRequest(f"{HEADER}: 1 to 255 printable ASCII characters are taken")
    return key or ""


def job_id_for(site: str, key: str | None) -> str:
    """An id that this site gets for this key every time; an unguessable one without a key."""
    if not checked(key):
        return new_job_id()
    return "job_" + hashlib.sha256(f"{site}\0{key}".encode()).hexdigest()[:32]


def check_same(first: Job, repeated: Submission) -> None:
    """KeyReused when the repeated request is not the first one over again."""
    for field in ("content_digest", "priority", "batch", "covariates", "wanted_model"):
        if first.text(field) != getattr(repeated, field):
            raise KeyReused(
                f"This {HEADER} was used with another {field.replace('_', ' ')}; take a new key", field=field
            )
