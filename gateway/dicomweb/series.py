"""A collected series as one upload: a stored zip of its instances and of the list of what was passed over."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Sequence
from typing import IO

from contracts.errors import CorruptFile
from contracts.series_read import PassedOver
from gateway.uploads.sanitize.archives import EPOCH
from gateway.uploads.spool import Sent
from imaging import manifest
from imaging.contents import MANIFEST
from jobstore.inbox_records import Item
from runtime.blobs import BlobStore


def write_zip(
    out: IO[bytes],
    items: Sequence[Item],
    blobs: BlobStore,
    *,
    passed: Sequence[PassedOver] = (),
    between: Callable[[], object] = int,
) -> Sent:
    """The same bytes for the same instances, in whatever order they came; CorruptFile when one is gone.

    between: called after every instance.
    """
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for number, one in enumerate(items, start=1):
            archive.writestr(zipfile.ZipInfo(f"{number:05d}.dcm", EPOCH), _read(blobs, one))
            between()
        if passed:
            archive.writestr(zipfile.ZipInfo(MANIFEST, EPOCH), manifest.written(passed))
    size = out.seek(0, 2)
    out.seek(0)
    digest = hashlib.file_digest(out, "sha256").hexdigest()  # type: ignore[arg-type]
    out.seek(0)
    return Sent(out, size, digest)


def _read(blobs: BlobStore, one: Item) -> bytes:
    try:
        data = blobs.part(one.chunk, one.at, one.size)
    except FileNotFoundError:
        data = b""
    if len(data) != one.size:
        raise CorruptFile("Stored images of the study are gone; send it again")
    return data
