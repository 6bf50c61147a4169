"""Mutated files of every format: the loaders answer with a volume or an InputError, nothing else."""

from __future__ import annotations

import functools
import gzip
import io
import os
import struct
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydicom.datadict import tag_for_keyword

from contracts import errors
from contracts.errors import InputError
from gateway.uploads.sanitize.task import Kind, Task, perform
from imaging.contents import MANIFEST
from imaging.deidentify import CODES, DESCRIBED, NUMBERS, UIDS
from imaging.dicom_file import UnreadableInstance
from imaging.instances import deidentify
from imaging.sniff import PEEK, Media, sniff
from preprocessing_service.steps.read import read
from preprocessing_service.volume import Volume
from tests.hostile import dicom_files
from tests.hostile.archives import zipped
from tests.hostile.case import nifti, voxels

pytestmark = pytest.mark.hostile

EXAMPLES = int(os.environ.get("HIPPOCAMP_FUZZ_EXAMPLES", "150"))
"""For each format and reader."""

SECONDS = float(os.environ.get("HIPPOCAMP_FUZZ_SECONDS", "2"))
"""For each format and reader: what is not tried by then is not tried."""

Check = Callable[..., None]
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

_WHOLE = {kind: make() for kind, make in FORMATS.items()}
KINDS = {
    Media.NIFTI: Kind.VOLUME, Media.MGH: Kind.VOLUME, Media.NIFTI_GZ: Kind.PACKED, Media.MGZ: Kind.PACKED,
    Media.ZIP: Kind.ARCHIVE,
}  # fmt: skip

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


thorough = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None
)


def within(seconds: float) -> Callable[[Check], Check]:
    """Examples that come later are passed over, unless one has failed: they find the smallest then."""

    def bounded(check: Check) -> Check:
        ends: list[float] = []

        @functools.wraps(check)
        def run(**given: object) -> None:
            if not ends:
                ends.append(time.monotonic() + seconds)
            if time.monotonic() > ends[0]:
                return
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    check(**given)
            except BaseException:
                ends[0] = float("inf")
                raise

        return run

    return bounded


def spoilt(kind: str, changes: list[tuple[str, int, bytes]]) -> bytes:
    """A file of this format after the changes."""
    data = mutated(_WHOLE[kind], changes)
    return with_true_checksums(data) if kind in {"analyze", "dicom"} else data


CANARY = b"Zqxcanary"
TEXT = ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT")
LONG = ("OB", "OW", "UC", "UN", "UR", "UT", "SQ")
KEPT = [tag_for_keyword(name) for name in (*NUMBERS, *CODES, *DESCRIBED, *UIDS, "SOPClassUID")]
"""Tags whose values may stay: a name may be written under them, too."""

elements = st.tuples(
    st.one_of(
        st.sampled_from([tag for tag in KEPT if tag]),
        st.integers(0x00080000, 0x7FDFFFFF),
        st.integers(0, 0xFF).map(lambda n: 0x00110010 + n),
    ),
    st.sampled_from((*TEXT, "OB", "OW", "UN")),
    st.sampled_from((CANARY + b" ", b"1\\" + CANARY, b"T1 " + CANARY + b"^MR", CANARY.upper() + b"\0")),
)


def instance_of(found: list[tuple[int, str, bytes]], *, below: bool) -> bytes:
    """A file in explicit little endian with these elements; `below`: once more in a sequence that stays."""
    body = b"".join(element(*one) for one in found)
    if below:
        item = b"\xfe\xff\0\xe0" + struct.pack("<L", len(body)) + body
        body += element(0x52009229, "SQ", item)
    whole = dicom_files.image(0, lambda data, k: None)
    at = whole.index(b"\x08\x00\x16\x00UI")  # SOPClassUID, the first element behind the meta group
    pixels = whole.index(b"\xe0\x7f\x10\x00OW")
    identity = b"".join(element(*one) for one in ((0x00080016, "UI", b"1.2"), (0x00080018, "UI", b"1.3")))
    return whole[:at] + identity + body + whole[pixels:]


def element(tag: int, kind: str, value: bytes) -> bytes:
    """In explicit little endian, whatever the dictionary says the tag's type is."""
    value += b" " * (len(value) % 2)
    about = struct.pack("<2H", tag >> 16, tag & 0xFFFF) + kind.encode()
    size = struct.pack("<2xL", len(value)) if kind in LONG else struct.pack("<H", len(value))
    return about + size + value


@pytest.mark.parametrize("kind", FORMATS)
def test_a_mutated_file_is_a_volume_or_an_input_error(kind: str) -> None:
    @thorough
    @given(mutations)
    @within(SECONDS)
    def check(changes: list[tuple[str, int, bytes]]) -> None:
        path.write_bytes(spoilt(kind, changes))
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


@pytest.mark.parametrize("kind", FORMATS)
def test_cleaning_a_mutated_file_leaves_a_clean_one_or_an_input_error(kind: str) -> None:
    """And what is left is cleaned to itself: nothing of it was passed over. A list of what was passed over
    is taken from nobody, so it is not there the second time."""
    way = KINDS[sniff(_WHOLE[kind][:PEEK]).media]

    @thorough
    @given(mutations)
    @example([("set", 587, b"\xff\xff\xff\x7f")])  # an instance loses its pixels and is passed over
    @within(SECONDS)
    def check(changes: list[tuple[str, int, bytes]]) -> None:
        out = io.BytesIO()
        told = perform(Task(way, 1 << 24), io.BytesIO(spoilt(kind, changes)), out)
        if "error" in told:
            assert issubclass(getattr(errors, told["error"]["kind"]), InputError), told
            return
        again, plain = io.BytesIO(), Kind.VOLUME if way is Kind.PACKED else way
        assert "sanitized" in perform(Task(plain, 1 << 24), io.BytesIO(out.getvalue()), again)
        assert entries(again) == entries(out)

    check()


def entries(stored: io.BytesIO) -> dict[str, bytes]:
    """What a stored upload holds, by name, without the door's own list."""
    if not zipfile.is_zipfile(stored):
        return {"": stored.getvalue()}
    with zipfile.ZipFile(stored) as archive:
        return {name: archive.read(name) for name in archive.namelist() if name != MANIFEST}


@thorough
@given(st.lists(elements, min_size=1, max_size=12, unique_by=lambda element: element[0]), st.booleans())
@within(SECONDS)
def test_no_text_of_any_element_is_kept(found: list[tuple[int, str, bytes]], below: bool) -> None:
    """Whatever tag it stands under, standard or private, and whatever type it claims to be."""
    sent = instance_of(sorted(found), below=below)
    try:
        kept = deidentify(sent)
    except UnreadableInstance:
        return
    assert CANARY.lower() not in kept.lower()


@thorough
@given(st.binary(max_size=400), mutations)
@within(SECONDS)
def test_an_instance_is_taken_apart_or_unreadable(
    noise: bytes, changes: list[tuple[str, int, bytes]]
) -> None:
    one = dicom_files.image(0, lambda data, k: None)
    for data in (bytes(128) + b"DICM" + noise, mutated(one, changes), one[:400] + noise):
        try:
            deidentify(data)
        except UnreadableInstance:
            continue


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
