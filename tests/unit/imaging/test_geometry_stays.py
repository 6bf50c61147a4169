"""De-identification never changes geometry: what an attribute says afterwards is what it said before."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from gateway.dicomweb.instances import open_instance
from gateway.uploads.sanitize.task import Kind, Task, perform, result_of
from imaging.dicom_file import as_file
from imaging.instances import deidentify
from tests.hostile.dicom_files import enhanced, image, nested
from tests.inputs.made import zipped

pytestmark = [pytest.mark.inputs, pytest.mark.privacy]

GEOMETRY = (
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness",
    "SpacingBetweenSlices", "SliceLocation", "Rows", "Columns", "NumberOfFrames", "RescaleSlope",
    "RescaleIntercept", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "SamplesPerPixel", "InstanceNumber", "SeriesNumber",
)  # fmt: skip
"""What says where the voxels lie and what their values are."""

TINY = ("2.05103439e-10", "-1e-14", "-0", "0.0000000000", "1.7e-17", "-2.051034e-010", "1E-09", "4.9e-324")
numbers = st.one_of(
    st.sampled_from(TINY),
    st.floats(-1e4, 1e4).map(lambda x: f"{x:.10g}"),
    st.floats(-1, 1).map(lambda x: f"{x:.9f}"),
    st.floats(1e-300, 1e-9).map(lambda x: f"{x:.6g}"),
)


def geometry(dataset: Dataset) -> dict[str, list[Any]]:
    """Every value of the attributes, at every depth, in the order of the file."""
    found: dict[str, list[Any]] = {name: [] for name in GEOMETRY}
    for element in dataset.iterall():
        if element.keyword in found and element.value not in (None, ""):
            found[element.keyword].append(element.value)
    return found


def by_zip(data: bytes) -> bytes:
    """As the door for archives stores it."""
    out = io.BytesIO()
    result_of(perform(Task(Kind.ARCHIVE, 64 << 20), io.BytesIO(zipped([data])), out))
    with zipfile.ZipFile(out) as archive:
        return archive.read("00001.dcm")


DOORS: dict[str, Callable[[bytes], bytes]] = {
    "zip": by_zip,
    "STOW-RS": lambda data: open_instance(data)[1],
    "C-STORE": deidentify,
}


def check(data: bytes, door: Callable[[bytes], bytes]) -> None:
    before, after = (pydicom.dcmread(io.BytesIO(as_file(one))) for one in (data, door(data)))
    assert geometry(after) == geometry(before)
    assert values(after) == values(before)


def values(data: Dataset) -> bytes:
    """The pixels without bits that stand for no value: overlays in them are masked at the door."""
    if data.file_meta.TransferSyntaxUID.is_compressed or data.BitsAllocated != 16:
        return bytes(data.PixelData)
    above = 15 - data.HighBit
    stored = np.frombuffer(data.PixelData, "<u2") << above
    return bytes((stored >> above + data.HighBit + 1 - data.BitsStored).tobytes())


@pytest.mark.parametrize("door", DOORS)
@settings(max_examples=60, deadline=None, database=None)
@given(st.tuples(*[numbers] * 3), st.tuples(*[numbers] * 6), st.tuples(*[numbers] * 2), numbers)
def test_of_random_headers(door: str, position: Any, cosines: Any, spacing: Any, number: str) -> None:
    def change(data: Dataset, k: int) -> None:
        data.ImagePositionPatient, data.ImageOrientationPatient = list(position), list(cosines)
        data.PixelSpacing, data.SliceLocation, data.SpacingBetweenSlices = list(spacing), number, number
        data.RescaleSlope, data.RescaleIntercept, data.SeriesNumber = "1.5e-10", number, 7

    check(image(0, change), DOORS[door])


@pytest.mark.parametrize("door", DOORS)
def test_of_enhanced_frames(door: str) -> None:
    def change(data: Dataset, k: int) -> None:
        enhanced(data, k)
        for own in data.PerFrameFunctionalGroupsSequence:
            own.PlanePositionSequence[0].ImagePositionPatient = ["-1e-14", "2.05e-10", "3"]
            own.PlaneOrientationSequence = [
                nested(ImageOrientationPatient=["1", "2.05e-10", "0", "-2.05e-10", "1", "0"])
            ]

    check(image(0, change), DOORS[door])


def test_of_doubles_under_a_binary_type() -> None:
    """Some tools write DS attributes as doubles; the bytes of text are no such numbers."""

    def change(data: Dataset, k: int) -> None:
        data.add_new(0x00201041, "FD", -1e-14)  # SliceLocation
        data.add_new(0x00180050, "FD", float(np_double(b"19400101")))  # SliceThickness

    clean = pydicom.dcmread(io.BytesIO(deidentify(image(0, change))))
    assert float(clean.SliceLocation) == -1e-14
    assert "SliceThickness" not in clean


def np_double(text: bytes) -> float:
    """The number that eight bytes of text are."""
    import struct

    return float(struct.unpack("<d", text)[0])


def real() -> Iterator[tuple[str, bytes]]:
    """The first, middle and last instance of each real series."""
    root = os.environ.get("HIPPOCAMP_DATA")
    for file in sorted(Path(root).rglob("*.zip")) if root else []:
        with zipfile.ZipFile(file) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
            for name in {names[0], names[len(names) // 2], names[-1]}:
                yield f"{file.name}/{name}", archive.read(name)


@pytest.mark.skipif("HIPPOCAMP_DATA" not in os.environ, reason="HIPPOCAMP_DATA names no folder of real scans")
@pytest.mark.parametrize("door", ["STOW-RS", "C-STORE"])
def test_of_real_headers(door: str) -> None:
    count = 0
    for _, data in real():
        dataset = pydicom.dcmread(io.BytesIO(as_file(data)), stop_before_pixels=True)
        if dataset.get("Modality") == "MR" and "Rows" in dataset:
            check(data, DOORS[door])
            count += 1
    assert count > 3
