"""Blobs appear whole or not at all, and never outside the store."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.errors import StoreUnavailable, TooLarge
from runtime.blobs import BlobStore, explanation_path, input_path, stack_path


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(str(tmp_path / "blobs"))


def files(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]


def test_receive_hashes_what_it_writes(store: BlobStore) -> None:
    received = store.receive("inputs/a/1", [b"abc", b"", b"def"])
    assert store.get("inputs/a/1") == b"abcdef"
    assert received.size_bytes == 6
    assert received.sha256 == hashlib.sha256(b"abcdef").hexdigest()


def test_a_broken_upload_leaves_nothing(store: BlobStore, tmp_path: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"abc"
        raise TooLarge("enough")

    with pytest.raises(TooLarge):
        store.receive("inputs/a/1", chunks())
    assert files(tmp_path) == []


def test_a_full_or_broken_store_says_so(store: BlobStore, tmp_path: Path) -> None:
    (tmp_path / "blobs").write_text("a file where the folder should be")
    with pytest.raises(StoreUnavailable):
        store.put("inputs/a/1", b"x")


def test_a_nameless_file_becomes_the_blob_where_it_lies(store: BlobStore, tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    with os.fdopen(os.open(tmp_path / "blobs", os.O_TMPFILE | os.O_RDWR, 0o666), "w+b") as file:
        file.write(b"abc")
        file.flush()
        store.adopt("inputs/a/1", file)
        assert (tmp_path / "blobs/inputs/a/1").stat().st_ino == os.fstat(file.fileno()).st_ino
    assert store.get("inputs/a/1") == b"abc"
    assert len(files(tmp_path)) == 1


def test_one_that_cannot_be_named_is_copied(store: BlobStore, tmp_path: Path) -> None:
    """As on file systems that know no nameless files: it was deleted instead."""
    with (tmp_path / "gone").open("w+b") as file:
        (tmp_path / "gone").unlink()
        file.write(b"abc")
        file.flush()
        store.adopt("inputs/a/1", file)
    assert store.get("inputs/a/1") == b"abc"
    assert len(files(tmp_path)) == 1


def test_no_path_leaves_the_store(store: BlobStore) -> None:
    with pytest.raises(ValueError, match="leaves the store"):
        store.put("inputs/../../x", b"x")


def test_what_is_not_there(store: BlobStore) -> None:
    assert not store.exists("inputs/a/1")
    store.delete("inputs/a/1")
    with pytest.raises(FileNotFoundError):
        store.get("inputs/a/1")


def test_sites_and_versions_never_share_a_path() -> None:
    paths = {
        input_path("a", "1"), input_path("b", "1"),
        stack_path("a", "c", "p1"), stack_path("b", "c", "p1"), stack_path("a", "c", "p2"),
        explanation_path("a", "c", pipeline="p1", model="m1"),
        explanation_path("a", "c", pipeline="p1", model="m2"),
    }  # fmt: skip
    assert len(paths) == 7


def test_a_bucket_works_like_a_folder() -> None:
    store = BlobStore("memory://bucket")
    store.put("stacks/a/1", b"xyz")
    assert store.get("stacks/a/1") == b"xyz"
    store.delete("stacks/a/1")
    assert not store.exists("stacks/a/1")


def test_every_blob_of_a_folder_is_listed(store: BlobStore) -> None:
    store.put("inputs/b/2", b"x")
    store.put("inputs/a/1", b"x")
    store.put("stacks/a/1", b"x")
    assert store.list_all("inputs") == ["inputs/a/1", "inputs/b/2"]
    assert store.list_all("nothing") == []
