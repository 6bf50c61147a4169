"""What schemathesis cannot guess: how arbitrary bytes travel as a STOW-RS body."""

from __future__ import annotations

from urllib.parse import urlencode

import schemathesis


@schemathesis.serializer('multipart/related; type="application/dicom"')
def related(context: schemathesis.SerializationContext, value: object) -> bytes:
    """The bytes as they are, or the text of anything else."""
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.hook
def filter_case(context: schemathesis.HookContext, case: schemathesis.Case) -> bool:
    """An address that is longer than a head may be gets the 431 of the server."""
    return len(urlencode(dict(case.query or {}), doseq=True)) < 3000
