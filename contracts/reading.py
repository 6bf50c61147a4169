"""What decompressors raise, as errors with a code; gateway and preprocessing unpack what strangers packed."""

from __future__ import annotations

import errno
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from isal import isal_zlib

from contracts.errors import CorruptFile, StoreUnavailable, TruncatedFile

_OURS = frozenset({errno.EIO, errno.ESTALE, errno.ENOSPC, errno.EMFILE, errno.ENFILE, errno.EACCES})
"""System errors that are the machine's fault; any other `OSError` comes from what the file says."""
_DAMAGED: Any = (OSError, zlib.error, isal_zlib.error, zipfile.BadZipFile)


@contextmanager
def reading() -> Iterator[None]:
    """Turn what the decompressors raise into our errors."""
    try:
        yield
    except EOFError as error:
        raise TruncatedFile("the compressed data ends early; upload the file again") from error
    except _DAMAGED as error:
        if isinstance(error, OSError) and error.errno in _OURS:
            raise StoreUnavailable(f"the stored upload cannot be read: {error.strerror}") from error
        raise CorruptFile(f"the compressed data is damaged ({error})") from error
