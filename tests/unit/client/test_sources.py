"""What is submitted can be read twice, and names nobody."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from pathlib import Path

import pytest

from client.sources import open_source


@pytest.mark.parametrize("size", [0, 1, 1 << 18, (1 << 18) + 1])
def test_bytes_streams_and_files_are_the_same(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    file = tmp_path / "v.nii"
    file.write_bytes(data)
    for source in (
        open_source(file),
        open_source(data),
        open_source(io.BytesIO(data)),
        open_source(str(file)),
    ):
        assert (source.size, source.digest) == (size, hashlib.sha256(data).hexdigest())
        assert b"".join(source.pieces()) == b"".join(source.pieces()) == data
        source.close()


def test_a_folder_becomes_a_zip_without_its_names(tmp_path: Path) -> None:
    folder = tmp_path / "Doe^John"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "Doe_2.DCM").write_bytes(b"two" * 9)
    (folder / "Doe_1").write_bytes(b"one")
    (folder / ".DS_Store").write_bytes(b"no")
    source = open_source(folder)
    again = open_source(folder)
    data = b"".join(source.pieces())
    assert b"Doe" not in data
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["00001", "00002.dcm"]
        assert archive.read("00002.dcm") == b"two" * 9
    os.utime(folder / "Doe_1", (1, 1))
    later = open_source(folder)
    assert later.digest == again.digest == source.digest
    for one in (source, again, later):
        one.close()


def test_a_bids_folder_keeps_what_tells_its_parts_apart(tmp_path: Path) -> None:
    names = (
        "anat/sub-Doe_ses-May_T1w.nii.gz",
        "anat/sub-Doe_ses-May_ce-Gadovist_T1w.nii.gz",
        "anat/sub-Doe_T2w.nii",
    )
    for name in (*names, "x/Doe.hdr", "x/Doe.img", "x/Doe.mat", "export.ZIP"):
        file = tmp_path / "sub-Doe" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    source = open_source(tmp_path)
    with zipfile.ZipFile(io.BytesIO(b"".join(source.pieces()))) as archive:
        assert archive.namelist() == [
            "00001_sub-1_t2.nii",
            "00002_sub-1_ses-1_t1.nii.gz",
            "00003_sub-1_ses-1_ce_gado_t1.nii.gz",
            "00004.zip",
            "00005_sub-1.hdr",
            "00005_sub-1.img",
            "00007",
        ]
    source.close()


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="neither"):
        open_source(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="no files"):
        open_source(tmp_path)
