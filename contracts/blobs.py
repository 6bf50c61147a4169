"""The blob store: uploads, prepared stacks and explanations, on any fsspec file system."""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from contracts.errors import StoreUnavailable


@dataclass(frozen=True)
class Received:
    """What `receive` wrote: its path in the store, its size and its SHA-256 in hex."""

    path: str
    size_bytes: int
    sha256: str


def input_path(site: str, job_id: str) -> str:
    """The raw upload of a job; deleted when the job ends."""
    return f"inputs/{site}/{job_id}"


def stack_path(site: str, content: str, pipeline: str) -> str:
    """The prepared stack of these bytes by this pipeline; a new model re-scores it without preprocessing."""
    return f"stacks/{site}/{content}/{pipeline}.npz"


def explanation_path(site: str, content: str, *, pipeline: str, model: str) -> str:
    """Activation maps of this model over that stack."""
    return f"explanations/{site}/{content}/{pipeline}-{model}.npz"


def content_folders(site: str, content: str) -> tuple[str, str]:
    """All that was ever made of these bytes at this site, by any pipeline and model."""
    return f"stacks/{site}/{content}/", f"explanations/{site}/{content}/"


class BlobStore:
    """A folder or bucket. Every write appears whole or not at all; every failure is StoreUnavailable."""

    def __init__(self, url: str) -> None:
        self._fs, root = fsspec.core.url_to_fs(url)
        self._root = str(root).rstrip("/")
        self._local = isinstance(self._fs, LocalFileSystem)

    def _full(self, path: str) -> str:
        if ".." in path.split("/"):
            raise ValueError(f"{path!r} leaves the store")
        return f"{self._root}/{path}"

    def receive(self, path: str, chunks: Iterable[bytes]) -> Received:
        """Stream chunks to `path` while hashing them; whatever `chunks` raises leaves nothing behind."""
        digest, size = hashlib.sha256(), 0

        def counted() -> Iterator[bytes]:
            nonlocal size
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                yield chunk

        self._write(path, counted(), durable=True)
        return Received(path, size, digest.hexdigest())

    def put(self, path: str, data: bytes, *, durable: bool = True) -> None:
        """Write bytes held in memory; what can be made again need not survive a power cut."""
        self._write(path, [data], durable=durable)

    def _write(self, path: str, chunks: Iterable[bytes], *, durable: bool) -> None:
        full = self._full(path)
        part = f"{full}.{uuid.uuid4().hex}.part"
        try:
            self._fs.makedirs(os.path.dirname(full), exist_ok=True)  # noqa: PTH120  may be a bucket
            with self._fs.open(part, "wb") as out:
                for chunk in chunks:
                    out.write(chunk)
                if durable:
                    self._settle(out)
            self._move(part, full)
            if self._local and durable:
                _sync_folder(Path(full).parent)
        except OSError as error:
            self._discard(part)
            raise StoreUnavailable(f"Writing {path} failed: {error.strerror or error}") from error
        except BaseException:
            self._discard(part)
            raise

    def _settle(self, out: Any) -> None:
        if self._local:
            out.flush()
            os.fsync(out.fileno())

    def _move(self, part: str, full: str) -> None:
        if self._local:
            Path(part).replace(full)
        else:
            self._fs.mv(part, full)

    def _discard(self, full: str) -> None:
        if self._fs.exists(full):
            self._fs.rm(full)

    def get(self, path: str) -> bytes:
        """The whole blob; FileNotFoundError when there is none."""
        try:
            return bytes(self._fs.cat_file(self._full(path)))
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StoreUnavailable(f"Reading {path} failed: {error.strerror or error}") from error

    def exists(self, path: str) -> bool:
        """Whether the blob is there."""
        return bool(self._fs.exists(self._full(path)))

    def delete(self, path: str) -> None:
        """Remove the blob, or with a trailing slash the folder; deleting what is not there is no error."""
        try:
            self._fs.rm(self._full(path).rstrip("/"), recursive=path.endswith("/"))
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreUnavailable(f"Deleting {path} failed: {error.strerror or error}") from error

    def local_copy(self, path: str, scratch: Path) -> Path:
        """A file of this machine that holds the blob: the blob itself when the store is a local folder."""
        full = self._full(path)
        if self._local:
            if not Path(full).exists():
                raise FileNotFoundError(path)
            return Path(full)
        target = scratch / uuid.uuid4().hex
        try:
            self._fs.get_file(full, str(target))
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StoreUnavailable(f"Fetching {path} failed: {error.strerror or error}") from error
        return target

    def older_than(self, folder: str, seconds: float) -> list[str]:
        """Blobs under `folder` last written at least `seconds` ago, uploads that broke off included."""
        limit = time.time() - seconds
        found = self._fs.find(self._full(folder), detail=True)
        return [
            str(name).removeprefix(f"{self._root}/")
            for name, about in found.items()
            if _written(about) <= limit
        ]


def _written(about: dict[str, Any]) -> float:
    """Unix time of the last write by what the file system tells; never, when it does not."""
    stamp = next((about[key] for key in ("mtime", "LastModified", "created") if key in about), float("inf"))
    return stamp.timestamp() if isinstance(stamp, datetime) else float(stamp)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
