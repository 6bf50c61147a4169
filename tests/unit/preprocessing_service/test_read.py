"""Every format gives the same volume; every broken file its own code."""

from __future__ import annotations

import gzip
import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from contracts.errors import (
    BadGeometry,
    BadVoxels,
    CorruptFile,
    EmptyFile,
    InputError,
    NotAVolume,
    NotThreeD,
    TooLarge,
    TruncatedFile,
)
from imaging import limits
from preprocessing_service.steps.read import read
from preprocessing_service.volume import Volume
from tests.support.volumes import nifti_bytes, small, written, zipped


def values(volume: Volume) -> Any:
    return volume.voxels * volume.slope + volume.intercept


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", ["u1", "i1", "i2", "u2", "i4", "f4", "f8", ">i2", ">f4"])
def test_nifti_of_every_type(tmp_path: Path, kind: str, *, packed: bool) -> None:
    voxels = (np.arange(12 * 14 * 16).reshape(12, 14, 16) % 120).astype(kind)
    image: Any = nibabel.Nifti1Image(voxels, small().affine)
    if kind[0] == ">":
        image = nibabel.Nifti1Image(voxels, small().affine, image.header.as_byteswapped(">"))
    volume = read(written(tmp_path, image.to_bytes(), packed=packed))
    assert np.allclose(values(volume), voxels)
    assert np.allclose(volume.affine, small().affine, atol=1e-5)


def test_nifti_2_and_scaling(tmp_path: Path) -> None:
    image: Any = nibabel.Nifti2Image(small().voxels, small().affine)
    image.header.set_slope_inter(0.5, -100)
    data = bytearray(image.to_bytes())
    struct.pack_into("<dd", data, 176, 0.5, -100)
    volume = read(written(tmp_path, bytes(data)))
    assert np.allclose(values(volume), small().voxels * 0.5 - 100)


def test_mgh_plain_and_packed(tmp_path: Path) -> None:
    image: Any = nibabel.MGHImage(small().voxels.astype(np.float32), small().affine)
    for packed in (False, True):
        volume = read(written(tmp_path, image.to_bytes(), packed=packed))
        assert np.allclose(volume.affine, image.affine, atol=1e-4)
        assert np.array_equal(volume.voxels, small().voxels)


def pair(kind: Any) -> dict[str, bytes]:
    image = kind(small().voxels, np.diag([-2.0, 2, 3, 1]))
    files = {name: io.BytesIO() for name in image.file_map}
    for name, holder in image.file_map.items():
        holder.fileobj = files[name]
    image.to_file_map()
    return {"sub/x.hdr": files["header"].getvalue(), "sub/x.img": files["image"].getvalue()}


@pytest.mark.parametrize("kind", [nibabel.AnalyzeImage, nibabel.Nifti1Pair])
def test_pairs_in_a_zip(tmp_path: Path, kind: Any) -> None:
    volume = read(zipped(tmp_path, pair(kind)))
    assert np.array_equal(volume.voxels, small().voxels)
    assert np.allclose(np.abs(np.diag(volume.affine)), [2, 2, 3, 1])


def test_one_volume_in_a_zip(tmp_path: Path) -> None:
    assert np.array_equal(read(zipped(tmp_path, {"a.nii": nifti_bytes(small())})).voxels, small().voxels)


def test_one_packed_volume_in_a_zip(tmp_path: Path) -> None:
    data = gzip.compress(nifti_bytes(small()))
    assert np.array_equal(read(zipped(tmp_path, {"a.nii.gz": data})).voxels, small().voxels)
    with pytest.raises(CorruptFile):
        read(zipped(tmp_path, {"a.nii.gz": data[:-6] + bytes([data[-6] ^ 255]) + data[-5:]}))
    with pytest.raises(NotAVolume):
        read(zipped(tmp_path, {"a.nii": b"no volume at all " * 40}))


def test_a_single_frame_is_squeezed_and_several_are_refused(tmp_path: Path) -> None:
    one, two = (np.stack([small().voxels] * n, -1) for n in (1, 2))
    assert read(written(tmp_path, nibabel.Nifti1Image(one, np.eye(4)).to_bytes())).shape == (12, 14, 16)
    with pytest.raises(NotThreeD):
        read(written(tmp_path, nibabel.Nifti1Image(two, np.eye(4)).to_bytes()))


def test_nan_becomes_zero(tmp_path: Path) -> None:
    voxels = small().voxels.astype(np.float32)
    voxels[0] = np.nan
    volume = read(written(tmp_path, nifti_bytes(Volume(voxels, small().affine))))
    assert np.isfinite(volume.voxels).all()
    assert not volume.voxels[0].any()


def test_very_many_fine_voxels_are_halved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_DECODED", 3000)
    fine = Volume(small().voxels, np.diag([0.5, 0.5, 1.0, 1.0]))
    volume = read(written(tmp_path, nifti_bytes(fine)))
    assert volume.shape == (6, 7, 16)
    # The middle of the first block of 2 x 2 voxels of 0.5 mm.
    assert np.allclose(volume.affine @ [0, 0, 0, 1], [0.25, 0.25, 0, 1])
    blocks = fine.voxels.reshape(6, 2, 7, 2, 16).mean((1, 3))
    assert np.allclose(volume.voxels, blocks, atol=1)


def test_many_floats_are_kept_in_16_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_DECODED", small().voxels.nbytes)
    voxels = small().voxels.astype(np.float32) / 7 - 50
    voxels[3, 4, 5] = 1e6  # one spike must not cost the others their steps
    thin = read(written(tmp_path, nifti_bytes(Volume(voxels, small().affine))))
    assert thin.voxels.dtype == np.uint16
    assert 1000 < values(thin)[3, 4, 5] < 4000
    voxels[3, 4, 5] = values(thin)[3, 4, 5]
    assert np.abs(values(thin) - voxels).max() < 0.03


def test_floats_beyond_16_bits_of_memory_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_DECODED", small().voxels.nbytes - 1)
    with pytest.raises(TooLarge):
        read(written(tmp_path, nifti_bytes(Volume(small().voxels.astype(np.float32), small().affine))))


GOOD = nifti_bytes(small())
PACKED = gzip.compress(GOOD)
BROKEN: dict[str, tuple[type[InputError], bytes]] = {
    "empty": (EmptyFile, b""),
    "text": (NotAVolume, b"no volume at all " * 40),
    "packed text": (NotAVolume, gzip.compress(b"no volume at all " * 40)),
    "packed nothing": (NotAVolume, gzip.compress(b"")),
    "truncated": (TruncatedFile, GOOD[:-100]),
    "truncated gzip": (TruncatedFile, PACKED[:-200]),
    "truncated in the header": (TruncatedFile, GOOD[:350]),
    "wrong checksum": (CorruptFile, PACKED[:-6] + bytes([PACKED[-6] ^ 255]) + PACKED[-5:]),
    "damaged inside": (CorruptFile, PACKED[:900] + bytes(200) + PACKED[1100:]),
    "more voxels than stated": (CorruptFile, GOOD + bytes(10_000)),
    "damaged zip": (CorruptFile, b"PK\x03\x04" + bytes(200)),
    "two dimensions": (NotThreeD, nifti_bytes(small(), dim=[3, 48, 56, 1, 1, 1, 1, 1])),
    "no dimensions": (BadGeometry, nifti_bytes(small(), dim=[3, 12, 0, 16, 1, 1, 1, 1])),
    "negative dimensions": (BadGeometry, nifti_bytes(small(), dim=[3, 12, -14, 16, 1, 1, 1, 1])),
    "impossible count": (BadGeometry, nifti_bytes(small(), dim=[9, 12, 14, 16, 1, 1, 1, 1])),
    "huge dimensions": (TooLarge, nifti_bytes(small(), dim=[3, 32000, 32000, 32000, 1, 1, 1, 1])),
    "too many coarse voxels": (
        TooLarge,
        nifti_bytes(
            small(),
            dim=[3, 512, 512, 250, 1, 1, 1, 1],
            srow_x=[1, 0, 0, 0],
            srow_y=[0, 1, 0, 0],
            srow_z=[0, 0, 1, 0],
            datatype=16,
            bitpix=32,
        ),
    ),
    "longer than the file": (TruncatedFile, nifti_bytes(small(), dim=[3, 200, 200, 200, 1, 1, 1, 1])),
    "unknown type": (BadVoxels, nifti_bytes(small(), datatype=1234)),
    "colour": (BadVoxels, nifti_bytes(small(), datatype=128, bitpix=24)),
    "complex": (BadVoxels, nifti_bytes(small(), datatype=32, bitpix=64)),
    "type and bits differ": (CorruptFile, nifti_bytes(small(), bitpix=8)),
    "offset beyond the file": (CorruptFile, nifti_bytes(small(), vox_offset=1e9)),
    "zero affine": (BadGeometry, nifti_bytes(small(), srow_x=[0] * 4, srow_y=[0] * 4, srow_z=[0] * 4)),
    "NaN affine": (BadGeometry, nifti_bytes(small(), srow_x=[np.nan] * 4)),
    "no form, zero zooms": (BadGeometry, nifti_bytes(small(), sform_code=0, pixdim=[1] + [0] * 7)),
    "no form, negative zooms": (BadGeometry, nifti_bytes(small(), sform_code=0, pixdim=[1] + [-2] * 7)),
    "no form, NaN zooms": (BadGeometry, nifti_bytes(small(), sform_code=0, pixdim=[1] + [np.nan] * 7)),
    "metre-sized voxels": (BadGeometry, nifti_bytes(small(), srow_x=[-2000, 0, 0, 0])),
    "constant": (BadVoxels, nifti_bytes(small(np.full((12, 14, 16), 7, np.int16)))),
    "all zero": (BadVoxels, nifti_bytes(small(np.zeros((12, 14, 16), np.int16)))),
    "all NaN": (BadVoxels, nifti_bytes(small(np.full((12, 14, 16), np.nan, np.float32)))),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_input_has_its_own_code(tmp_path: Path, name: str) -> None:
    expected, data = BROKEN[name]
    with pytest.raises(InputError) as caught:
        read(written(tmp_path, data))
    assert type(caught.value) is expected, caught.value.detail


def test_a_mirrored_qform_is_refused_and_a_sane_one_steps_in(tmp_path: Path) -> None:
    image: Any = nibabel.Nifti1Image(small().voxels, np.diag([2.0, 2, 3, 1]))
    image.set_qform(np.diag([-2.0, 2, 3, 1]), code=1)
    image.set_sform(np.diag([2.0, 2, 3, 1]), code=1)
    with pytest.raises(BadGeometry):
        read(written(tmp_path, image.to_bytes()))
    image.set_sform(np.zeros((4, 4)), code=1)
    assert np.allclose(read(written(tmp_path, image.to_bytes())).affine, np.diag([-2, 2, 3, 1]))


def damage(data: bytes, change: Callable[[bytearray], None]) -> bytes:
    copy = bytearray(data)
    change(copy)
    return bytes(copy)


def test_flipped_bytes_never_raise_anything_else(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for data in (GOOD, nibabel.MGHImage(small().voxels, small().affine).to_bytes(), PACKED):
        for _ in range(150):
            places = rng.integers(0, min(len(data), 420), 3)

            def change(copy: bytearray, places: Any = places) -> None:
                for place in places:
                    copy[place] = int(rng.integers(0, 256))

            try:
                read(written(tmp_path, damage(data, change)))
            except InputError:
                continue
