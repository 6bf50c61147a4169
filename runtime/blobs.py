"""The blob store: uploads, prepared stacks and explanations, on any fsspec file system."""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from contracts.errors import CorruptFile
from runtime.disk_space import measure
from runtime.system_errors import of_disk
from runtime.whole_file import WholeFile, take_place

_S3 = "s3://"
_S3_OPTIONS = {
    "use_listings_cache": False,  # other processes write
    "default_block_size": 8 << 20,
    "default_cache_type": "none",
    "config_kwargs": {"signature_version": "s3v4", "connect_timeout": 3, "read_timeout": 30},
}
_PIECE = 1 << 20


@dataclass(frozen=True)
class Received:
    """What `receive` wrote: its path in the store, its size and its SHA-256 in hex, "" when not asked for."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class SignedPut:
    """Leave to write one blob without passing through us: PUT to `url` with exactly these headers."""

    url: str
    headers: dict[str, str]


def input_path(site: str, job_id: str) -> str:
    """The raw upload of a job; deleted when the job ends."""
    return f"inputs/{site}/{job_id}"


def sent_path(site: str, upload_id: str) -> str:
    """What was put straight into the bucket, as it was sent: nobody reads it but who cleans it."""
    return input_path(site, upload_id)


def stack_path(site: str, artifact_prefix: str, pipeline: str) -> str:
    """The prepared stack of a job's bytes by this pipeline; a new model re-scores it without preprocessing.

    artifact_prefix: `Job.artifact_prefix`, one for all jobs of the site with the same bytes.
    """
    return f"stacks/{site}/{artifact_prefix}/{pipeline}.npz"


def sheet_path(site: str, artifact_prefix: str, pipeline: str) -> str:
    """The quality sheet (PNG) of the same work, also of a head that was refused."""
    return f"stacks/{site}/{artifact_prefix}/{pipeline}.png"


def brain_path(site: str, artifact_prefix: str, pipeline: str) -> str:
    """The whole stripped brain (gzipped NIfTI) that the same work left for people to look at."""
    return f"stacks/{site}/{artifact_prefix}/{pipeline}-brain.nii.gz"


def explanation_path(site: str, artifact_prefix: str, *, pipeline: str, model: str) -> str:
    """Activation maps of this model over that stack."""
    return f"explanations/{site}/{artifact_prefix}/{pipeline}-{model}.npz"


def artifact_folders(site: str, artifact_prefix: str) -> tuple[str, str]:
    """All that was made of these bytes at this site, by any pipeline and model."""
    return f"stacks/{site}/{artifact_prefix}/", f"explanations/{site}/{artifact_prefix}/"


class BlobStore:
    """A folder or bucket. Every write appears whole or not at all; every failure is StoreUnavailable.

    reserve_bytes: of the folder's disk are Redis's, the last half of them at all cost (disk_space.py).
    """

    def __init__(self, url: str, *, reserve_bytes: int = 0) -> None:
        self._reserve = reserve_bytes
        self._bucket = url.startswith(_S3)
        self._fs, root = fsspec.core.url_to_fs(url, **(_S3_OPTIONS if self._bucket else {}))
        self._root = str(root).rstrip("/")
        self._local = isinstance(self._fs, LocalFileSystem)
        self._failures = _failures(self._bucket)

    def _full(self, path: str) -> str:
        if ".." in path.split("/"):
            raise ValueError(f"{path!r} leaves the store")
        return f"{self._root}/{path}"

    def receive(self, path: str, chunks: Iterable[bytes | memoryview], *, digest: bool = True) -> Received:
        """Stream chunks to `path`, hashing them on the way; whatever `chunks` raises leaves nothing behind.

        digest: not needed where `local_copy` opens the blob itself, and so has no copy to compare with it.
        """
        sha256, size = hashlib.sha256(), 0

        def counted() -> Iterator[bytes | memoryview]:
            nonlocal size
            for chunk in chunks:
                if digest:
                    sha256.update(chunk)
                size += len(chunk)
                yield chunk

        self._write(path, counted(), durable=True)
        return Received(path, size, sha256.hexdigest() if digest else "")

    def adopt(self, path: str, file: IO[bytes]) -> None:
        """Make what a nameless file in `folder` holds the blob, without a copy where that can be."""
        self.check_space()
        with self._trying("Writing", path):
            if take_place(file, Path(self._full(path))):
                return
        file.seek(0)
        self._write(path, iter(lambda: file.read(_PIECE), b""), durable=True)

    @property
    def folder(self) -> Path | None:
        """Where the blobs lie on this machine; None when they are in a bucket."""
        return Path(self._root) if self._local else None

    def put(self, path: str, data: bytes, *, durable: bool = True) -> None:
        """Write bytes held in memory; what can be made again need not survive a power cut."""
        self._write(path, [data], durable=durable)

    def _write(self, path: str, chunks: Iterable[bytes | memoryview], *, durable: bool) -> None:
        """The blob appears when all is written; an error leaves nothing."""
        full = self._full(path)
        self.check_space()
        with self._trying("Writing", path):
            out: Any = (
                WholeFile(Path(full), durable=durable)
                if self._local
                else self._fs.open(full, "wb", autocommit=False)
            )
            try:
                for chunk in chunks:
                    out.write(chunk)
                out.close()
                out.commit()
            except BaseException:
                out.discard()
                if self._bucket:
                    out.closed = True  # or it would begin an upload when it is collected
                raise

    def check_space(self) -> None:
        """DiskNearlyFull when less than half of the reserve is free; nothing for a bucket."""
        disk = measure("blobs", Path(self._root), self._reserve) if self._reserve and self._local else None
        if disk and disk.is_nearly_full:
            raise disk.refusal()

    @contextmanager
    def _trying(self, doing: str, path: str) -> Iterator[None]:
        """StoreUnavailable for whatever the store fails with, except FileNotFoundError.

        ResourcesExhausted when this machine cannot even ask.
        CorruptFile when what came is not what the store has a checksum of.
        """
        try:
            yield
        except FileNotFoundError:
            raise
        except self._failures as error:
            if type(error).__name__ == "FlexibleChecksumError":
                raise CorruptFile(f"{path} does not match its own checksum; send the file again") from error
            told = getattr(error, "strerror", None) or error
            raise of_disk(error, f"{doing} {path} failed: {told}") from error

    def get(self, path: str) -> bytes:
        """The whole blob; FileNotFoundError when there is none."""
        with self._trying("Reading", path):
            return bytes(self._fs.cat_file(self._full(path)))

    def size(self, path: str) -> int:
        """In bytes; FileNotFoundError when there is no such blob."""
        with self._trying("Asking for", path):
            return int(self._fs.info(self._full(path))["size"])

    def pieces(self, path: str, each: int = 8 << 20) -> Iterator[bytes]:
        """The blob from its beginning; FileNotFoundError, StoreUnavailable."""
        at, ends = 0, self.size(path)
        while at < ends:
            with self._trying("Reading", path):
                piece = bytes(self._fs.cat_file(self._full(path), start=at, end=min(at + each, ends)))
            at += len(piece)
            yield piece

    def part(self, path: str, at: int, size: int) -> bytes:
        """`size` bytes of the blob from `at` on; FileNotFoundError, StoreUnavailable."""
        with self._trying("Reading", path):
            return bytes(self._fs.cat_file(self._full(path), start=at, end=at + size))

    def exists(self, path: str) -> bool:
        """Whether the blob is there."""
        with self._trying("Asking for", path):
            return bool(self._fs.exists(self._full(path)))

    def delete(self, path: str) -> None:
        """Remove the blob, or with a trailing slash the folder; deleting what is not there is no error."""
        full = self._full(path).rstrip("/")
        with suppress(FileNotFoundError), self._trying("Deleting", path):
            if path.endswith("/"):
                self._fs.rm(full, recursive=True)
            else:
                self._fs.rm_file(full)

    def local_copy(self, path: str, scratch: Path, *, sha256: str = "") -> Path:
        """A file of this machine that holds the blob: the blob itself when the store is a local folder.

        CorruptFile when a copy had to be made and has another SHA-256 than it should have.
        """
        full = self._full(path)
        if self._local:
            if not Path(full).exists():
                raise FileNotFoundError(path)
            return Path(full)
        target = scratch / uuid.uuid4().hex
        with self._trying("Fetching", path):
            self._fs.get_file(full, str(target))
        with target.open("rb") as copy:
            if sha256 and hashlib.file_digest(copy, "sha256").hexdigest() != sha256:
                raise CorruptFile("The stored bytes are not those that were announced; send the file again")
        return target

    def list_all(self, folder: str) -> list[str]:
        """All blobs under `folder`, sorted, uploads that broke off included."""
        with self._trying("Listing", folder):
            found = self._fs.find(self._full(folder))
        return sorted(str(name).removeprefix(f"{self._root}/") for name in found)

    def signed_put(
        self, path: str, *, size_bytes: int, sha256: str, seconds: int, endpoint: str = ""
    ) -> SignedPut | None:
        """Leave to write this blob for some seconds, with these bytes only; None when the store is no bucket.

        endpoint: the store's address as the uploader sees it, when that is not ours.
        """
        if not self._bucket:
            return None
        headers = {
            "Content-Length": str(size_bytes),
            "x-amz-checksum-sha256": base64.b64encode(bytes.fromhex(sha256)).decode(),
            "x-amz-sdk-checksum-algorithm": "SHA256",
        }
        store = self._fs
        if endpoint:
            store = fsspec.filesystem("s3", client_kwargs={"endpoint_url": endpoint}, **_S3_OPTIONS)
        with self._trying("Signing", path):
            url = store.url(
                self._full(path), expires=seconds, client_method="put_object", ContentLength=size_bytes,
                ChecksumAlgorithm="SHA256", ChecksumSHA256=headers["x-amz-checksum-sha256"],
            )  # fmt: skip
        return SignedPut(str(url), headers)


def _failures(bucket: bool) -> tuple[type[Exception], ...]:
    """What a store raises when it fails: files only OSError, S3 its library's own errors too."""
    if not bucket:
        return (OSError,)
    from botocore.exceptions import BotoCoreError, ClientError

    return (OSError, BotoCoreError, ClientError)
