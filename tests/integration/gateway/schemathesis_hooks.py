"""What schemathesis cannot guess: how arbitrary bytes travel as a STOW-RS body."""

from __future__ import annotations

import schemathesis


@schemathesis.serializer('multipart/related; type="application/dicom"')
def related(context: schemathesis.SerializationContext, value: object) -> bytes:
    """The bytes as they are, or the text of anything else."""
    return value if isinstance(value, bytes) else str(value).encode()
