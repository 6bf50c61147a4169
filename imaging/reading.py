"""What decompressors raise, as errors with a code; gateway and preprocessing unpack what strangers packed."""

from __future__ import annotations

import errno
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from isal import isal_zlib

from contracts.errors import CorruptFile, TruncatedFile
from runtime.system_errors import of_disk

_OURS = frozenset({errno.EIO, errno.ESTALE, errno.ENOSPC, errno.EMFILE, errno.ENFILE, errno.EACCES})
"""System errors that are the machine's fault; any other `OSError` comes from what the file says."""


@contextmanager
def reading() -> Iterator[None]:
    """Turn what the decompressors raise into our errors."""
    try:
        yield
    except EOFError as error:
        raise TruncatedFile("the compressed data ends early; upload the file again") from error
    except _damaged() as error:
        if isinstance(error, OSError) and error.errno in _OURS:
            raise of_disk(error, f"the stored upload cannot be read: {error.strerror}") from error
        raise CorruptFile(f"the compressed data is damaged ({error})") from error


def _damaged() -> Any:
    """What says so. Who never opens an archive does without zipfile: its threading is dear to who forks."""
    archives = sys.modules.get("zipfile")
    return OSError, zlib.error, isal_zlib.error, *([archives.BadZipFile] if archives else [])
