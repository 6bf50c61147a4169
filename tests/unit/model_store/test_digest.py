"""A release is named by what is in it, and is refused when a file is not the one its manifest names."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from model_store.release.digest import RELEASE, BrokenReleaseError, model_digest
from runtime.known_models import release_digest


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(RELEASE, tmp_path / "release"))


def test_the_committed_release_is_whole(copy: Path) -> None:
    assert model_digest(copy) == model_digest(RELEASE)


def test_order_of_files_does_not_matter() -> None:
    assert release_digest({"a": "1", "b": "2"}) == release_digest({"b": "2", "a": "1"})
    assert release_digest({"a": "1", "b": "2"}) != release_digest({"a": "2", "b": "1"})


def test_a_changed_file_is_refused(copy: Path) -> None:
    (copy / "head.npz").write_bytes(b"other")
    with pytest.raises(BrokenReleaseError, match=r"head\.npz"):
        model_digest(copy)


def test_a_missing_file_is_refused(copy: Path) -> None:
    (copy / "head.npz").unlink()
    with pytest.raises(BrokenReleaseError, match="missing"):
        model_digest(copy)


def test_a_folder_without_manifest_is_no_release(tmp_path: Path) -> None:
    with pytest.raises(BrokenReleaseError, match="manifest"):
        model_digest(tmp_path)
