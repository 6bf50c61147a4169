"""What is stored of an upload holds the same voxels, and none of the text that came with them."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from contracts.errors import BadSeries, CorruptFile, InputError, NotAVolume, TooLarge, TruncatedFile
from gateway.uploads.sanitize import volumes
from gateway.uploads.sanitize.archives import ArchiveSanitizer
from imaging import sniff as sniffing
from imaging.patient import Patient
from imaging.sniff import Media, sniff
from preprocessing_service.steps.read import read
from tests.hostile.archives import lying, overlapping, zipped
from tests.hostile.case import nifti, patched
from tests.hostile.dicom_files import Dataset, Plan, deflated_bomb, series

CANARY = b"Zqxcanary"
MOST = 64 << 20
AFFINE = np.diag([3.0, 3, 3, 1])
VOXELS = np.random.default_rng(0).integers(0, 200, (12, 11, 10)).astype(np.int16)


NUMBERS = (
    "extents", "session_error", "intent_p1", "intent_p2", "intent_p3", "slice_start", "slice_end", "cal_max",
    "cal_min", "slice_duration", "toffset", "glmax", "glmin", "quatern_b", "quatern_c", "quatern_d",
    "qoffset_x",
)  # fmt: skip
"""Fields of numbers in which text survived; none is needed while there is a matrix."""


def named(image: nib.Nifti1Image) -> bytes:
    """The image's bytes with a canary in every text field and in an extension."""
    for field in ("data_type", "db_name", "descrip", "aux_file", "intent_name"):
        if field in image.header:
            image.header[field] = CANARY[: image.header[field].dtype.itemsize]
    for field in NUMBERS:
        if field in image.header:
            width = image.header[field].dtype.itemsize
            image.header[field] = np.frombuffer((CANARY * 2)[:width], image.header[field].dtype)[0]
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", CANARY * 9))
    return bytes(image.to_bytes())


def big_endian() -> bytes:
    return named(nib.Nifti1Image(VOXELS, AFFINE, nib.Nifti1Header(endianness=">")))


def mgh() -> bytes:
    """With the tags that FreeSurfer writes behind the voxels, and text in the unused header."""
    plain = bytes(nib.MGHImage(VOXELS, AFFINE).to_bytes())
    return plain[:100] + CANARY + plain[100 + len(CANARY) :] + CANARY * 20


def analyze() -> bytes:
    """A pair; text in every field that may hold some."""
    image = nib.AnalyzeImage(VOXELS, AFFINE)
    header, data = io.BytesIO(), io.BytesIO()
    image.file_map["header"].fileobj, image.file_map["image"].fileobj = header, data
    image.to_file_map()
    spans = [(4, 9), (56, 4), (148, 9), (228, 9), (253, 9), (263, 9), (283, 9), (293, 9)]
    text = patched(header.getvalue(), *((at, f"{size}s", CANARY[:size]) for at, size in spans))
    return zipped({f"{CANARY.decode()}.hdr": text, f"{CANARY.decode()}.img": data.getvalue()})


def packed(data: bytes) -> bytes:
    """gzip with a file name in its header."""
    out = io.BytesIO()
    with gzip.GzipFile(f"{CANARY.decode()}.nii", "wb", 1, out) as file:
        file.write(data)
    return out.getvalue()


def dicom() -> bytes:
    """A series that names a person in each slice; names of entries too; a letter beside it."""

    def change(data: Dataset, k: int) -> None:
        data.PatientName, data.PatientAge, data.PatientSex = CANARY.decode(), "071Y", "F"
        data.SeriesDescription = f"t1 {CANARY.decode()}"

    with zipfile.ZipFile(io.BytesIO(series(Plan(change=change)))) as found:
        entries = {f"{CANARY.decode()}/{name}": found.read(name) for name in found.namelist()}
    return zipped(entries | {"letter.txt": CANARY * 100})


FORMATS: dict[str, Callable[[], bytes]] = {
    "nifti": lambda: named(nib.Nifti1Image(VOXELS, AFFINE)),
    "nifti.gz": lambda: packed(named(nib.Nifti1Image(VOXELS, AFFINE))),
    "nifti.gz of two members": lambda: in_two(named(nib.Nifti1Image(VOXELS, AFFINE))),
    "nifti2": lambda: named(nib.Nifti2Image(VOXELS, AFFINE)),
    "big-endian": big_endian,
    "float32": lambda: named(nib.Nifti1Image(VOXELS.astype(np.float32), AFFINE)),
    "mgh": mgh,
    "mgz": lambda: packed(mgh()),
    "zip of nifti": lambda: zipped({f"{CANARY.decode()}.nii": named(nib.Nifti1Image(VOXELS, AFFINE))}),
    "zip of mgh": lambda: zipped({"a.mgh": mgh()}),
    "analyze": analyze,
    "dicom": dicom,
}


def in_two(data: bytes) -> bytes:
    """Two gzip members, as pigz and bgzip write many."""
    return packed(data[:700]) + packed(data[700:])


def cleaned(data: bytes, most_bytes: int = MOST) -> bytes:
    """As a submission is stored."""
    media, file = sniff(data[: 1 << 16]).media, io.BytesIO(data)
    if media in {Media.ZIP, Media.DICOM, Media.DICOM_GZ}:
        return b"".join(ArchiveSanitizer(most_bytes).chunks(file))
    stream = volumes.unpacked(file) if media in {Media.NIFTI_GZ, Media.MGZ} else file
    return b"".join(volumes.sanitized(stream, most_bytes=most_bytes))


@pytest.mark.privacy
@pytest.mark.parametrize("kind", FORMATS)
def test_the_voxels_stay_and_the_text_goes(kind: str, tmp_path: Path) -> None:
    sent = FORMATS[kind]()
    kept = cleaned(sent)
    assert CANARY[:4] not in kept
    before, after = tmp_path / "sent", tmp_path / "kept"
    before.write_bytes(sent)
    after.write_bytes(kept)
    wanted, got = read(before), read(after)
    assert np.array_equal(got.voxels, wanted.voxels)
    assert np.array_equal(got.affine, wanted.affine)
    assert (got.slope, got.intercept, got.source) == (wanted.slope, wanted.intercept, wanted.source)


PLAIN = {kind: made for kind, made in FORMATS.items() if sniff(made()[: 1 << 16]).media in sniffing.PLAIN}


@pytest.mark.privacy
@pytest.mark.parametrize("kind", PLAIN)
def test_a_plain_volume_is_cleaned_where_it_lies(kind: str) -> None:
    sent = PLAIN[kind]()
    file = io.BytesIO(sent)
    for _ in range(2):  # a child that died half-way is followed by another
        assert volumes.sanitize_in_place(file, most_bytes=MOST) == len(file.getvalue())
        assert file.getvalue() == cleaned(sent)


def test_an_extension_of_many_pieces_is_blanked_where_it_lies() -> None:
    long = named(nib.Nifti1Image(VOXELS, AFFINE))
    header = patched(long[:352], (108, "<f", float(1 << 20)))
    sent = header + CANARY * ((1 << 20) // len(CANARY)) + bytes((1 << 20) - 352)
    sent = sent[: 1 << 20] + VOXELS.tobytes()
    file = io.BytesIO(sent)
    volumes.sanitize_in_place(file, most_bytes=MOST)
    assert file.getvalue() == cleaned(sent)
    assert CANARY[:4] not in file.getvalue()


@pytest.mark.parametrize("kind", FORMATS)
def test_the_same_bytes_are_stored_alike(kind: str) -> None:
    data = FORMATS[kind]()
    assert cleaned(data) == cleaned(data)


def test_a_header_without_offset_means_right_behind_it() -> None:
    kept = cleaned(patched(nifti(VOXELS), (108, "<f", 0.0)))
    assert kept[352:] == nifti(VOXELS)[352:]


@pytest.mark.parametrize(
    ("data", "refused"),
    [
        (nifti(VOXELS)[:-1], TruncatedFile),
        (nifti(VOXELS) + bytes(5000), CorruptFile),
        (patched(nifti(VOXELS), (42, "<3h", (4000, 4000, 4000))), TooLarge),
        (gzip.compress(nifti(VOXELS))[:-9], TruncatedFile),
        (gzip.compress(nifti(VOXELS)[:-1]), TruncatedFile),
        (gzip.compress(nifti(VOXELS))[:-8] + b"\0" * 8, CorruptFile),
        (gzip.compress(nifti(VOXELS) + bytes(5000)), CorruptFile),
        (patched(nifti(VOXELS), (108, "<f", 100.0)), InputError),
        (gzip.compress(patched(nifti(VOXELS), (42, "<3h", (4000, 4000, 4000)))), TooLarge),
        (zipped({"a.nii": patched(nifti(VOXELS), (42, "<3h", (4000, 4000, 4000)))}), TooLarge),
        (lying(16 << 30 & 0xFFFFFFFF or 0xFFFFFFF0), TooLarge),
        (overlapping(180, 8 << 20), BadSeries),
        (zipped({"readme.txt": b"nothing here"}), BadSeries),
        (zipped({"a.nii": b"nothing here"}), NotAVolume),
        (zipped({"a.hdr": b"x" * 348, "a.img": b"y" * 99}), NotAVolume),
        (zipped({"IM1": bytes(128) + b"DICM" + b"\xff" * 500}), BadSeries),
        (series(Plan(cut=900)), BadSeries),
    ],
)
def test_what_cannot_be_cleaned_is_refused_with_its_code(data: bytes, refused: type[InputError]) -> None:
    with pytest.raises(refused):
        cleaned(data)
    if not data.startswith((b"PK", b"\x1f\x8b")):
        with pytest.raises(refused):
            volumes.sanitize_in_place(io.BytesIO(data), most_bytes=MOST)


def test_a_gzip_bomb_ends_at_what_its_header_promises() -> None:
    taken: list[bytes] = []
    bomb = volumes.unpacked(io.BytesIO(gzip.compress(nifti(VOXELS) + bytes(100 << 20), 1)))
    with pytest.raises(CorruptFile):
        taken.extend(volumes.sanitized(bomb, most_bytes=MOST))
    assert sum(map(len, taken)) <= len(nifti(VOXELS))


def test_a_deflated_bomb_does_not_unpack(tmp_path: Path) -> None:
    deflated_bomb(tmp_path / "bomb")
    with (tmp_path / "bomb").open("rb") as file, pytest.raises(BadSeries):
        list(ArchiveSanitizer(MOST).chunks(file))


def test_age_and_sex_are_told_beside_the_bytes() -> None:
    archive = ArchiveSanitizer(MOST)
    list(archive.chunks(io.BytesIO(dicom())))
    assert archive.patient == Patient(71, "F")
