"""Of a pair's image only the voxels are stored: no byte before them, none behind, and all of them."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from contracts.errors import BadGeometry, CorruptFile, TruncatedFile
from gateway.uploads.sanitize.archives import ArchiveSanitizer
from preprocessing_service.steps.read import read
from tests.hostile.archives import zipped
from tests.hostile.case import patched

pytestmark = [pytest.mark.inputs, pytest.mark.privacy]

CANARY = b"Zqxcanary^Theodora"
AFFINE = np.diag([3.0, 3, 3, 1])
VOXELS = np.random.default_rng(0).integers(0, 200, (12, 11, 10)).astype(np.int16)
KINDS = {"analyze": nib.AnalyzeImage, "nifti-1": nib.Nifti1Pair, "nifti-2": nib.Nifti2Pair}


def pair(kind: str, before: bytes = b"", behind: bytes = b"") -> tuple[bytes, bytes]:
    """Header and image with text around the voxels, where the header says they begin."""
    image: Any = KINDS[kind](VOXELS, AFFINE)
    files = {name: io.BytesIO() for name in image.file_map}
    for name, holder in image.file_map.items():
        holder.fileobj = files[name]
    image.to_file_map()
    place = (168, "<q") if kind == "nifti-2" else (108, "<f")
    header = patched(files["header"].getvalue(), (*place, len(before)))
    return header, before + files["image"].getvalue() + behind


def cleaned(header: bytes, image: bytes) -> bytes:
    """As a submission is stored."""
    sent = io.BytesIO(zipped({"a.hdr": header, "a.img": image}))
    return b"".join(ArchiveSanitizer(64 << 20).chunks(sent))


@pytest.mark.parametrize("kind", KINDS)
def test_text_around_the_voxels_goes_and_they_stay(kind: str, tmp_path: Path) -> None:
    kept = cleaned(*pair(kind, before=CANARY * 4, behind=CANARY * 40))
    assert CANARY[:4] not in kept
    with zipfile.ZipFile(io.BytesIO(kept)) as found:
        assert len(found.read("volume.img")) == VOXELS.nbytes
    file = tmp_path / "kept"
    file.write_bytes(kept)
    assert np.array_equal(read(file).voxels, VOXELS)
    again = zipfile.ZipFile(io.BytesIO(kept))
    assert cleaned(again.read("volume.hdr"), again.read("volume.img")) == kept


@pytest.mark.parametrize("kind", KINDS)
def test_the_voxels_begin_where_the_header_says(kind: str, tmp_path: Path) -> None:
    header, image = pair(kind, before=CANARY * 4)
    file = tmp_path / "sent"
    file.write_bytes(zipped({"a.hdr": header, "a.img": image}))
    assert np.array_equal(read(file).voxels, VOXELS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_short_image_is_refused(kind: str) -> None:
    header, image = pair(kind)
    with pytest.raises(TruncatedFile):
        cleaned(header, image[:-1])


@pytest.mark.parametrize("kind", KINDS)
def test_another_file_behind_the_voxels_is_refused(kind: str) -> None:
    header, image = pair(kind)
    with pytest.raises(CorruptFile):
        cleaned(header, image + bytes(5000))


@pytest.mark.parametrize("kind", KINDS)
def test_an_impossible_place_of_the_voxels_is_refused(kind: str) -> None:
    header, image = pair(kind)
    place = (168, "<q", -8) if kind == "nifti-2" else (108, "<f", -8.0)
    with pytest.raises(BadGeometry):
        cleaned(patched(header, place), image)
