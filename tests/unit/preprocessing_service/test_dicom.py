"""A zipped DICOM series is ordered by position, and refused when it is not one even stack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contracts.errors import BadSeries, CorruptFile, InputError, TooLarge
from imaging import archive, limits
from preprocessing_service.steps.conform import conform
from preprocessing_service.steps.read import read
from preprocessing_service.volume import Volume
from tests.support.volumes import dicom_slices, zipped


def stack(count: int = 20) -> Volume:
    voxels = np.random.default_rng(0).integers(0, 900, (12, 14, count)).astype(np.int16)
    turn = np.deg2rad(10)
    affine = np.eye(4)
    affine[:3, :3] = [[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]]
    affine[:3, :3] *= [1.5, 1.25, 2.0]
    affine[:3, 3] = (-9, 4, 30)
    return Volume(voxels, affine)


def test_slices_come_back_in_place(tmp_path: Path) -> None:
    wanted, got = stack(), conform(read(zipped(tmp_path, dicom_slices(stack()))))
    assert np.array_equal(got.voxels, wanted.voxels)
    assert np.allclose(got.affine, wanted.affine, atol=1e-5)


def test_rescale_of_all_and_of_each(tmp_path: Path) -> None:
    both = read(zipped(tmp_path, dicom_slices(stack(), RescaleSlope="2", RescaleIntercept="-5")))
    assert (both.slope, both.intercept) == (2.0, -5.0)
    entries = dicom_slices(stack(), RescaleSlope="1", RescaleIntercept="0")
    entries["s0001"] = dicom_slices(stack(), RescaleSlope="3", RescaleIntercept="1")["s0001"]
    each = conform(read(zipped(tmp_path, entries)))
    assert np.allclose(each.voxels[:, :, 0], stack().voxels[:, :, 0])
    assert np.allclose(each.voxels[:, :, -1], stack().voxels[:, :, -1] * 3 + 1)


def without(name: str) -> dict[str, bytes]:
    entries = dicom_slices(stack())
    del entries[name]
    return entries


def doubled() -> dict[str, bytes]:
    entries = dicom_slices(stack())
    other = dicom_slices(stack(), SOPInstanceUID="9.9.9")
    return {**entries, "extra": other["s0005"]}


def mixed(description: str) -> dict[str, bytes]:
    other = dicom_slices(stack(), SeriesInstanceUID="7.7", SeriesDescription=description)
    return {**dicom_slices(stack()), **{f"b/{name}": data for name, data in other.items()}}


REFUSED: dict[str, dict[str, bytes]] = {
    "missing slice": without("s0010"),
    "two slices in one place": doubled(),
    "not MR": dicom_slices(stack(), Modality="CT"),
    "several frames": dicom_slices(stack(), NumberOfFrames=4),
    "short pixels": dicom_slices(stack(), PixelData=b"\0\0"),
    "no DICOM at all": {"a.txt": b"hello", "b.txt": b"there"},
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadSeries):
        read(zipped(tmp_path, REFUSED[name]))


def test_of_a_mixed_archive_the_t1_is_taken(tmp_path: Path) -> None:
    volume = read(zipped(tmp_path, mixed("t2_flair")))
    assert dict(volume.facts)["series_in_archive"] == 2
    assert volume.shape[0] == 20


def test_of_two_t1_series_alike_the_first_is_taken(tmp_path: Path) -> None:
    found = read(zipped(tmp_path, mixed("t1_mprage_2"))).series
    assert found is not None
    assert (found.candidates, [one.code for one in found.passed_over]) == (2, ["another_t1"])


def alternately(even: list[float], odd: list[float], **about: Any) -> dict[str, bytes]:
    """One series of 40 slices whose odd ones write their orientation otherwise."""
    plain = Volume(np.tile(stack().voxels, (1, 1, 2)), np.diag([1.5, 1.25, 2.0, 1.0]))
    each = (
        dicom_slices(plain, ImageOrientationPatient=even),
        dicom_slices(plain, ImageOrientationPatient=odd, **about),
    )
    return {name: each[n % 2][name] for n, name in enumerate(sorted(each[0]))}


@pytest.mark.parametrize(
    ("even", "odd"),
    [
        ([1.0, 0.0, 0.0, 0.0, 1.0, 0.0], [1.0, -0.0, -0.0, -0.0, 1.0, -0.0]),
        (
            [0.0049999, 0.9999875, 0.0, -0.9999875, 0.005, 0.0],
            [0.0050011, 0.9999875, 0, -0.9999875, 0.005, 0],
        ),
    ],
)
def test_orientations_that_are_rounded_otherwise_are_one_stack(
    tmp_path: Path, even: list[float], odd: list[float]
) -> None:
    volume = read(zipped(tmp_path, alternately(even, odd)))
    assert volume.shape[0] == 40
    assert volume.series is not None
    assert (volume.series.images, volume.series.passed_over) == (40, ())


@pytest.mark.parametrize(
    "entries",
    [
        alternately([1, 0, 0, 0, 1, 0], [0.99995, 0.01, 0, -0.01, 0.99995, 0]),
        alternately([1, 0, 0, 0, 1, 0], [1, 0, 0, 0, 1, 0], Rows=12, Columns=14),
    ],
    ids=["turned", "another shape"],
)
def test_half_a_series_is_never_a_head(tmp_path: Path, entries: dict[str, bytes]) -> None:
    with pytest.raises(BadSeries, match="half a head"):
        read(zipped(tmp_path, entries))


def test_a_second_echo_or_plane_of_the_series_is_passed_over(tmp_path: Path) -> None:
    plain = Volume(np.tile(stack().voxels, (1, 1, 2)), np.diag([1.5, 1.25, 2.0, 1.0]))
    across = dicom_slices(stack(), ImageOrientationPatient=[1, 0, 0, 0, 0, 1], SeriesInstanceUID="1.2.3")
    echo = dicom_slices(plain, ImageType=["DERIVED", "PRIMARY", "M"], Rows=12, Columns=14)
    for name, other in (("plane", across), ("echo", echo)):
        entries = dicom_slices(plain) | {
            f"{name}{n}": data.replace(b"1.2.3.", b"1.2.4.") for n, data in enumerate(other.values())
        }
        assert read(zipped(tmp_path, entries)).shape[0] == 40


@pytest.mark.parametrize("held", [0, 3000])
def test_pixels_that_were_let_go_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int
) -> None:
    file = zipped(tmp_path, mixed("t2_flair"))
    wanted = read(file)
    monkeypatch.setattr(limits, "MAX_HELD", held)
    assert np.array_equal(read(file).voxels, wanted.voxels)


def test_a_large_series_of_fine_pixels_is_halved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_DECODED", 3000)
    fine = Volume(stack().voxels, np.diag([0.5, 0.6, 2.0, 1.0]))
    seen = conform(read(zipped(tmp_path, dicom_slices(fine))))
    assert np.allclose(seen.voxels, fine.voxels.reshape(6, 2, 7, 2, 20).mean((1, 3)), atol=1)
    assert np.allclose(seen.affine @ [0, 0, 0, 1], [0.25, 0.3, 0, 1])
    with pytest.raises(TooLarge):
        read(zipped(tmp_path, dicom_slices(stack())))


def test_compressed_transfer_syntax_is_named(tmp_path: Path) -> None:
    entries = {
        name: data.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0")
        for name, data in dicom_slices(stack()).items()
    }
    with pytest.raises(BadSeries, match="RLE"):
        read(zipped(tmp_path, entries))


def test_archives_are_counted_and_sized(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_ENTRIES", 10)
    with pytest.raises(TooLarge):
        read(zipped(tmp_path, dicom_slices(stack())))
    monkeypatch.undo()
    monkeypatch.setattr(archive, "MAX_ARCHIVE", 1000)
    with pytest.raises(TooLarge):
        read(zipped(tmp_path, dicom_slices(stack())))


def test_damage_anywhere_is_an_input_error(tmp_path: Path) -> None:
    file = zipped(tmp_path, dicom_slices(stack()))
    data, rng = file.read_bytes(), np.random.default_rng(0)
    seen: set[Any] = set()
    for _ in range(60):
        copy = bytearray(data)
        for place in rng.integers(0, len(copy), 4):
            copy[place] = int(rng.integers(0, 256))
        file.write_bytes(bytes(copy))
        try:
            read(file)
        except InputError as error:
            seen.add(type(error))
    assert CorruptFile in seen
