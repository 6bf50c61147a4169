"""Made-up uploads of the kinds that scanners and people send: small, and of a person called Canary."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from collections.abc import Iterable
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    BasicTextSRStorage,
    EncapsulatedPDFStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    ImplicitVRLittleEndian,
    JPEGLosslessSV1,
    KeyObjectSelectionDocumentStorage,
    SecondaryCaptureImageStorage,
)

from tests.hostile.dicom_files import enhanced, image
from tests.integration.dicomweb.series import encoded, slices

T1, OTHER = "1.2.3.1", "1.2.3.2"
VOXELS = np.random.default_rng(0).integers(0, 200, (12, 11, 10)).astype(np.int16)
AFFINE = np.diag([3.0, 3, 3, 1])


def zipped(files: Iterable[bytes] | dict[str, bytes]) -> bytes:
    """An archive; files without names get those that tell nothing."""
    named = files if isinstance(files, dict) else {f"IM{n:04d}": one for n, one in enumerate(files)}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, data in named.items():
            archive.writestr(name, data)
    return out.getvalue()


def study(*series: list[FileDataset]) -> bytes:
    """An archive of whole series."""
    return zipped(encoded(one) for each in series for one in each)


def t1(**about: Any) -> list[FileDataset]:
    """The plain series."""
    return slices(T1, **{"SeriesNumber": 5, **about})


def other(uid: str = OTHER, count: int = 20, **about: Any) -> list[FileDataset]:
    """Another series of the same study."""
    return slices(uid, count, **{"SeriesNumber": 9, **about})


def changed(found: list[FileDataset], change: Any) -> list[FileDataset]:
    """Every slice after the change."""
    for one in found:
        change(one)
    return found


def document(sop_class: str, modality: str) -> list[FileDataset]:
    """An object without pixels, as reports, key objects and presentation states are."""
    (one,) = slices("1.2.3.70", 1, Modality=modality, SOPClassUID=sop_class, SeriesNumber=99)
    one.file_meta.MediaStorageSOPClassUID = sop_class
    for name in ("PixelData", "Rows", "Columns", "ImagePositionPatient", "ImageOrientationPatient"):
        delattr(one, name)
    if sop_class == EncapsulatedPDFStorage:
        one.EncapsulatedDocument = b"%PDF-1.4 Canary"
    return [one]


DOCUMENTS = {
    "SR": lambda: document(BasicTextSRStorage, "SR"),
    "PR": lambda: document(GrayscaleSoftcopyPresentationStateStorage, "PR"),
    "KO": lambda: document(KeyObjectSelectionDocumentStorage, "KO"),
    "PDF": lambda: document(EncapsulatedPDFStorage, "DOC"),
}


def capture() -> list[FileDataset]:
    """A screen save."""
    return slices("1.2.3.71", 1, Modality="OT", SOPClassUID=SecondaryCaptureImageStorage, SeriesNumber=100)


def colour() -> list[FileDataset]:
    """A colour map that calls itself MR."""
    made = slices("1.2.3.72", 20, SamplesPerPixel=3, PhotometricInterpretation="RGB", BitsAllocated=8)
    return changed(made, lambda one: setattr(one, "PixelData", bytes(16 * 12 * 3)))


def bare(one: FileDataset, *, implicit: bool) -> bytes:
    """The data set alone, without preamble and meta group."""
    out = io.BytesIO()
    plain = Dataset(one)
    plain["PixelData"].VR = "OW"
    pydicom.dcmwrite(out, plain, implicit_vr=implicit, little_endian=True)
    return out.getvalue()


def without_meta(one: FileDataset) -> bytes:
    """Preamble and mark, then at once the data set."""
    return bytes(128) + b"DICM" + bare(one, implicit=True)


def without_preamble(one: FileDataset) -> bytes:
    """The meta group at the first byte."""
    one.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    out = io.BytesIO()
    pydicom.dcmwrite(out, one, implicit_vr=True, little_endian=True)
    return out.getvalue()[132:]


def with_overlay(one: FileDataset) -> None:
    """Bit 12 of every pixel of the upper half is set: an overlay, as scanners of the nineties wrote it."""
    pixels = np.frombuffer(one.PixelData, "<u2").copy()
    pixels[: pixels.size // 2] |= 1 << 12
    one.PixelData = pixels.tobytes()


def shifted(one: FileDataset) -> None:
    """The twelve bits lie at the top; those below hold rubbish."""
    pixels = np.frombuffer(one.PixelData, "<u2") << 4 | 5
    one.HighBit, one.PixelData = 15, pixels.astype("<u2").tobytes()


def signed(one: FileDataset) -> None:
    """Twelve bits in two's complement with zeros above."""
    pixels = np.frombuffer(one.PixelData, "<u2").astype(np.int32) - 2000
    one.PixelRepresentation, one.PixelData = 1, (pixels & 0xFFF).astype("<u2").tobytes()


def jpeg_lossless(one: FileDataset) -> None:
    """Process 14, selection value 1: each pixel as its difference from the one to the left."""
    frame = lossless_jpeg(np.frombuffer(one.PixelData, "<u2").reshape(one.Rows, one.Columns))
    one.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    one.PixelData = encapsulate([frame])
    one["PixelData"].is_undefined_length = True


def lossless_jpeg(pixels: npt.NDArray[np.uint16], precision: int = 12) -> bytes:
    """ISO/IEC 10918-1, annex H; one table, in which every length of a difference has a code of five bits."""
    rows, columns = pixels.shape
    values = pixels.astype(int)
    guess = np.empty_like(values)
    guess[:, 1:] = values[:, :-1]
    guess[1:, 0] = values[:-1, 0]
    guess[0, 0] = 1 << (precision - 1)
    bits = "".join(_coded(int(difference)) for difference in (values - guess).ravel())
    bits += "1" * (-len(bits) % 8)
    data = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    frame = struct.pack(">BHHB3B", precision, rows, columns, 1, 1, 0x11, 0)
    table = b"\0" + bytes([0, 0, 0, 0, 17]) + bytes(11) + bytes(range(17))
    scan = bytes([1, 1, 0, 1, 0, 0])
    parts = ((b"\xff\xc3", frame), (b"\xff\xc4", table), (b"\xff\xda", scan))
    head = b"".join(marker + struct.pack(">H", len(body) + 2) + body for marker, body in parts)
    return b"\xff\xd8" + head + data + b"\xff\xd9"


def _coded(difference: int) -> str:
    """The length's code, then so many bits of the difference, one less when it is negative."""
    length = abs(difference).bit_length()
    low = difference if difference > 0 else difference + (1 << length) - 1
    return f"{length:05b}" + (f"{low:0{length}b}" if length else "")


def phase(series: str = T1) -> list[FileDataset]:
    """The phase images of the plain series."""
    found = slices(series, 20, SeriesNumber=5, ImageType=["ORIGINAL", "PRIMARY", "PHASE MAP", "P", "FFE"])
    return changed(found, lambda one: setattr(one, "SOPInstanceUID", f"{one.SOPInstanceUID}.7"))


def ge_phase() -> list[FileDataset]:
    """The same as GE writes them: only a private element says it."""
    found = slices(T1, 20, SeriesNumber=5, ImageType=["ORIGINAL", "PRIMARY", "OTHER"])

    def change(one: FileDataset) -> None:
        one.SOPInstanceUID = f"{one.SOPInstanceUID}.7"
        one.private_block(0x0043, "GEMS_PARM_01", create=True).add_new(0x2F, "SS", 1)

    return changed(found, change)


def multi_frame() -> bytes:
    """A bare enhanced file."""

    def named(data: Dataset, k: int) -> None:
        enhanced(data, k)
        data.SeriesDescription = "t1_mprage"

    return image(0, named)


def nifti(**fields: Any) -> bytes:
    """A volume; `fields` overwrite its header."""
    found: Any = nib.Nifti1Image(VOXELS, AFFINE)
    for name, value in fields.items():
        found.header[name] = value
    return bytes(found.header.binaryblock + bytes(4) + VOXELS.tobytes(order="F"))


def pair() -> dict[str, bytes]:
    """An Analyze pair."""
    found: Any = nib.AnalyzeImage(VOXELS, AFFINE)
    header, data = io.BytesIO(), io.BytesIO()
    found.file_map["header"].fileobj, found.file_map["image"].fileobj = header, data
    found.to_file_map()
    return {"Scan.hdr": header.getvalue(), "Scan.img": data.getvalue()}


def bids(*subjects: str) -> bytes:
    """A BIDS folder of some subjects."""
    packed = gzip.compress(nifti(), 1)
    files = {"dataset_description.json": b"{}", "README": b"text", "participants.tsv": b"participant_id"}
    for subject in subjects:
        for name in ("anat/{}_T1w", "anat/{}_T2w", "func/{}_task-rest_bold", "anat/{}_ce-gadolinium_T1w"):
            files[f"{subject}/{name.format(subject)}.nii.gz"] = packed
        files[f"{subject}/anat/{subject}_T1w.json"] = b"{}"
    return zipped(files)
