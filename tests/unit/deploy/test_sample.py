"""The demonstration's volume, asked for by several processes of a test run at once."""

from __future__ import annotations

import io
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deploy.local import sample

AT_ONCE = 16


def test_many_that_fetch_it_at_once_all_get_the_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, gate = bytes(range(256)) * 4000, threading.Barrier(AT_ONCE)

    def download(folder: Path) -> Path:
        archive = folder / "pydeface-2.1.0.tar.gz"
        with tarfile.open(archive, "w:gz") as file:
            member = tarfile.TarInfo(sample.MEMBER)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
        gate.wait(60)
        return archive

    monkeypatch.setattr(sample, "_download", download)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = [
            one.result() for one in [pool.submit(sample.sample_volume, tmp_path) for _ in range(AT_ONCE)]
        ]
    assert {path.read_bytes() for path in found} == {content}
    assert list(tmp_path.iterdir()) == [tmp_path / "ds000031_T1w.nii.gz"]
