"""An archive is looked into before it is served: whole, ours, and nothing more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import pytest

from model_store.release.archive import build_archive
from model_store.release.digest import BrokenReleaseError, model_digest
from model_store.release.verify import verify

Change = Callable[[dict[str, bytes]], None]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    archive = build_archive(tmp_path_factory.mktemp("store"))
    assert verify(archive) == model_digest()
    with ZipFile(archive) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


CHANGES: dict[str, Change] = {
    "handler.py is changed": lambda parts: parts.update({"served/handler.py": b"digest = 'known'"}),
    "head.npz is changed": lambda parts: parts.update({"head.npz": b"other"}),
    "head.npz is missing": lambda parts: parts.pop("head.npz") and None,
    "sitecustomize.py is not ours": lambda parts: parts.update({"sitecustomize.py": b"import os"}),
    "handled by os:system": lambda parts: parts.update(
        {"MAR-INF/MANIFEST.json": b'{"model": {"handler": "os:system"}}'}
    ),
    "no archive of a release": lambda parts: parts.pop("manifest.json") and None,
}


@pytest.mark.parametrize("told", CHANGES)
def test_an_archive_that_is_not_as_we_packed_it(parts: dict[str, bytes], tmp_path: Path, told: str) -> None:
    changed = dict(parts)
    CHANGES[told](changed)
    archive = tmp_path / "hippocamp.mar"
    with ZipFile(archive, "w") as out:
        for name, data in changed.items():
            out.writestr(name, data)
    with pytest.raises(BrokenReleaseError, match=told.replace(".", r"\.")):
        verify(archive)


def test_how_it_is_served_may_differ(parts: dict[str, bytes], tmp_path: Path) -> None:
    archive = tmp_path / "hippocamp.mar"
    with ZipFile(archive, "w") as out:
        for name, data in (parts | {"serving.yaml": b"minWorkers: 2"}).items():
            out.writestr(name, data)
    assert verify(archive) == model_digest()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice_is_refused(parts: dict[str, bytes], tmp_path: Path) -> None:
    archive = tmp_path / "hippocamp.mar"
    with ZipFile(archive, "w") as out:
        for name, data in [("served/handler.py", b"other"), *parts.items()]:
            out.writestr(name, data)
    with pytest.raises(BrokenReleaseError, match="twice"):
        verify(archive)


def test_junk_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "x.mar").write_bytes(b"junk")
    with pytest.raises(BrokenReleaseError, match="no archive"):
        verify(tmp_path / "x.mar")
