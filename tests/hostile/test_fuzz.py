"""Mutated files of every format: the loaders answer with a volume or an InputError, nothing else."""

from __future__ import annotations

import gzip
import io
import os
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.errors import InputError
from gateway.sniff import sniff
from preprocessing_service.steps.read import read
from preprocessing_service.volume import Volume
from tests.hostile import dicom_files
from tests.hostile.archives import zipped
from tests.hostile.case import nifti, voxels

pytestmark = pytest.mark.hostile

EXAMPLES = int(os.environ.get("HIPPOCAMP_FUZZ_EXAMPLES", "150"))
"""For each format; 150 take about three seconds a format, CI may ask for more."""

SMALL = voxels((12, 11, 10))


def analyze() -> bytes:
    """A pair in a zip."""
    image = nib.AnalyzeImage(SMALL, np.diag([3.0, 3, 3, 1]))
    header, data = io.BytesIO(), io.BytesIO()
    image.file_map["header"].fileobj, image.file_map["image"].fileobj = header, data
    image.to_file_map()
    return zipped({"a.hdr": header.getvalue(), "a.img": data.getvalue()}, zipfile.ZIP_STORED)


def dicom() -> bytes:
    """A short series, stored, so that mutations meet DICOM rather than deflate."""
    plan = dicom_files.Plan(order=tuple(range(9)))
    with zipfile.ZipFile(io.BytesIO(dicom_files.series(plan))) as packed:
        return zipped({name: packed.read(name) for name in packed.namelist()}, zipfile.ZIP_STORED)


def with_true_checksums(data: bytes) -> bytes:
    """A stored zip whose checksums fit its (mutated) data, so that the reader goes on to what is inside."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for entry in archive.filelist:
                entry.CRC = None  # type: ignore[assignment]  zipfile then verifies nothing
            entries = {entry.filename: archive.read(entry) for entry in archive.filelist}
            return zipped(entries, zipfile.ZIP_STORED)
    except (zipfile.BadZipFile, ValueError, EOFError, OSError, NotImplementedError, RuntimeError):
        return data


MGH = nib.MGHImage(SMALL.astype(np.int16), np.diag([3.0, 3, 3, 1]))
FORMATS: dict[str, Callable[[], bytes]] = {
    "nifti": lambda: nifti(SMALL),
    "nifti.gz": lambda: gzip.compress(nifti(SMALL), 1),
    "nifti2": lambda: bytes(nib.Nifti2Image(SMALL, np.diag([3.0, 3, 3, 1])).to_bytes()),
    "mgh": lambda: bytes(MGH.to_bytes()),
    "zip of nifti": lambda: zipped({"a.nii": nifti(SMALL)}, zipfile.ZIP_DEFLATED),
    "analyze": analyze,
    "dicom": dicom,
}

INTERESTING = [b"\0", b"\xff", b"\x7f", b"\x80", b"\xff\xff", b"\xff\xff\xff\x7f",
               b"\0\0\xc0\x7f", b"\0\0\x80\xff"]  # fmt: skip
mutations = st.lists(
    st.tuples(
        st.sampled_from(["set", "cut", "insert", "double"]),
        st.one_of(st.integers(0, 600), st.integers(0, 60_000)),
        st.one_of(st.sampled_from(INTERESTING), st.binary(min_size=1, max_size=12)),
    ),
    min_size=1,
    max_size=6,
)


def mutated(data: bytes, changes: list[tuple[str, int, bytes]]) -> bytes:
    """The file after a few unhappy accidents."""
    out = bytearray(data)
    for kind, where, what in changes:
        at = where % (len(out) + 1)
        if kind == "set":
            out[at : at + len(what)] = what
        elif kind == "insert":
            out[at:at] = what
        elif kind == "double":
            out[at:at] = out[at : at + 40 * len(what)]
        elif where > 8:
            del out[at:]
    return bytes(out)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_mutated_file_is_a_volume_or_an_input_error(kind: str) -> None:
    whole = FORMATS[kind]()

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(mutations)
    def check(changes: list[tuple[str, int, bytes]]) -> None:
        data = mutated(whole, changes)
        if kind in {"analyze", "dicom"}:
            data = with_true_checksums(data)
        path.write_bytes(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                volume = read(path)
            except InputError:
                return
        assert isinstance(volume, Volume)
        assert np.isfinite(volume.affine).all()
        assert min(volume.shape) >= 8

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        check()


@settings(max_examples=EXAMPLES, deadline=None, database=None)
@given(st.sampled_from(sorted(FORMATS)), mutations, st.binary(max_size=64))
def test_the_gateways_first_look_never_breaks(
    kind: str, changes: list[tuple[str, int, bytes]], noise: bytes
) -> None:
    for head in (mutated(_WHOLE[kind], changes)[:65536], noise):
        try:
            sniff(head)
        except InputError:
            continue


_WHOLE = {kind: make() for kind, make in FORMATS.items()}
