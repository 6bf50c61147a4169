"""Blobs in a bucket, over HTTP: the same promises as in a folder, and leave to write one blob directly."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from contracts.errors import CorruptFile, StoreUnavailable, TooLarge
from runtime.blobs import BlobStore
from tests.conftest import free_port
from tests.integration.s3_server import s3_for_us

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_for_us() as url:
        yield url


@pytest.fixture
def store(endpoint: str, request: pytest.FixtureRequest) -> BlobStore:
    """A prefix of its own for each test."""
    return BlobStore(f"s3://hippocamp/{request.node.name}")


def test_what_is_written_is_read_back(store: BlobStore, tmp_path: Path) -> None:
    body = bytes(range(256)) * 100_000
    received = store.receive("inputs/a/1", (body[n : n + (1 << 20)] for n in range(0, len(body), 1 << 20)))
    assert received.sha256 == hashlib.sha256(body).hexdigest()
    assert (received.size_bytes, store.size("inputs/a/1")) == (len(body), len(body))
    assert store.get("inputs/a/1") == body
    assert b"".join(store.pieces("inputs/a/1", each=1_000_000)) == body
    assert store.local_copy("inputs/a/1", tmp_path, sha256=received.sha256).read_bytes() == body
    with pytest.raises(CorruptFile):
        store.local_copy("inputs/a/1", tmp_path, sha256="00" * 32)


@pytest.mark.parametrize("pieces", [1, 12], ids=["small", "in parts"])
def test_a_broken_upload_leaves_nothing(store: BlobStore, pieces: int) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(pieces):
            yield b"x" * (1 << 20)
        raise TooLarge("enough")

    with pytest.raises(TooLarge):
        store.receive("inputs/a/1", chunks())
    assert not store.exists("inputs/a/1")
    assert store.list_all("inputs") == []


def test_an_empty_blob_is_one(store: BlobStore) -> None:
    store.put("a", b"")
    assert store.get("a") == b""


def test_deleting(store: BlobStore) -> None:
    for path in ("stacks/a/c/1.npz", "stacks/a/c/2.npz", "stacks/a/c2/1.npz", "single"):
        store.put(path, b"x")
    store.delete("stacks/a/c/")
    store.delete("single")
    store.delete("single")
    store.delete("nothing/")
    found = [store.exists(p) for p in ("stacks/a/c/1.npz", "stacks/a/c/2.npz", "stacks/a/c2/1.npz", "single")]
    assert found == [False, False, True, False]


def test_what_is_not_there(store: BlobStore, tmp_path: Path) -> None:
    copy = partial(store.local_copy, scratch=tmp_path)
    for ask in (store.get, store.size, lambda path: next(store.pieces(path)), copy):
        with pytest.raises(FileNotFoundError):
            ask("nothing")


def test_one_process_sees_at_once_what_another_wrote(store: BlobStore, endpoint: str) -> None:
    assert store.list_all("inputs") == []
    httpx.put(f"{endpoint}/{store._root}/inputs/a/1", content=b"x")
    assert store.exists("inputs/a/1")
    assert store.list_all("inputs") == ["inputs/a/1"]


def test_a_store_that_is_away_says_so(store: BlobStore, tmp_path: Path) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    options = {"retries": {"max_attempts": 0}}
    store._fs = type(store._fs)(skip_instance_cache=True, endpoint_url=nowhere, config_kwargs=options)
    for attempt in (
        lambda: store.put("a", b"x"), lambda: store.get("a"), lambda: store.exists("a"),
        lambda: store.delete("a"), lambda: store.delete("a/"), lambda: store.list_all("a"),
        lambda: store.local_copy("a", tmp_path),
    ):  # fmt: skip
        with pytest.raises(StoreUnavailable):
            attempt()


def test_leave_to_write_is_for_one_blob_one_size_and_one_content(store: BlobStore, endpoint: str) -> None:
    body = b"volume" * 1000
    digest = hashlib.sha256(body).hexdigest()
    leave = store.signed_put("inputs/a/1", size_bytes=len(body), sha256=digest, seconds=60)
    assert leave is not None
    address = httpx.URL(leave.url)
    signed = address.params["X-Amz-SignedHeaders"].split(";")
    assert {"content-length", "host", "x-amz-checksum-sha256"} <= set(signed)
    assert address.params["X-Amz-Expires"] == "60"
    assert httpx.put(leave.url, content=body, headers=leave.headers).status_code == 200
    assert store.get("inputs/a/1") == body


def test_leave_can_be_given_for_the_address_that_the_outside_sees(store: BlobStore) -> None:
    leave = store.signed_put(
        "a", size_bytes=1, sha256="00" * 32, seconds=60, endpoint="https://blobs.example.org"
    )
    assert leave is not None
    assert leave.url.startswith("https://blobs.example.org/hippocamp/")
    assert BlobStore("memory://x").signed_put("a", size_bytes=1, sha256="00" * 32, seconds=60) is None
