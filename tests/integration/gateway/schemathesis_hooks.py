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
    """An address that is longer than a head may be gets the 431 of the server.

    A host name over 253 characters is none (RFC 1035), though the format `uri` of JSON Schema allows it.
    """
    url = case.body.get("url", "") if isinstance(case.body, dict) else ""
    if isinstance(url, str) and len(url.partition("://")[2].partition("/")[0]) > 253:
        return False
    return len(urlencode(dict(case.query or {}), doseq=True)) < 3000
