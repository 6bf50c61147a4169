"""DICOM series that are no series, lie about their pixels, or use what we do not take."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    MRImageStorage,
    RLELossless,
    generate_uid,
)

from tests.hostile.case import Case, case, voxels
from tests.hostile.lying_headers import NOISE

SERIES = "input.bad_series"
Change = Callable[[Dataset, int], None]


@dataclass(frozen=True)
class Plan:
    """A series of noise: `order` names the slices that are in it, `change` is applied to each."""

    order: tuple[int, ...] = tuple(range(48))
    change: Change = field(default=lambda data, k: None)
    cut: int | None = None
    prefix: str = "IM"


@cache
def noise() -> np.ndarray[tuple[int, ...], np.dtype[np.uint16]]:
    """The pixels of every series here."""
    return voxels((48, 64, 64), "uint16")


STUDY, FIRST, SECOND = generate_uid(), generate_uid(), generate_uid()


def image(k: int, change: Change) -> bytes:
    """Slice k of an axial series of 3 mm voxels."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    data = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
    data.StudyInstanceUID, data.SeriesInstanceUID, data.Modality = STUDY, FIRST, "MR"
    data.ImagePositionPatient, data.ImageOrientationPatient = [0, 0, 3 * k], [1, 0, 0, 0, 1, 0]
    data.PixelSpacing, data.SliceThickness = [3, 3], 3
    data.Rows, data.Columns = noise().shape[1:]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
    data.PixelData = noise()[k % 48].tobytes()
    change(data, k)
    out = io.BytesIO()
    data.save_as(out, enforce_file_format=True)
    return out.getvalue()


def series(plan: Plan) -> bytes:
    """The archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for place, k in enumerate(plan.order):
            archive.writestr(f"{plan.prefix}{place:04d}", image(k, plan.change)[: plan.cut])
    return out.getvalue()


def put(keyword: str, value: object, *, only: int | None = None) -> Change:
    """Set an element, in every slice or in one."""

    def change(data: Dataset, k: int) -> None:
        if only is None or k == only:
            setattr(data, keyword, value)

    return change


def drop(keyword: str) -> Change:
    """Leave an element out."""
    return lambda data, k: delattr(data, keyword)


def oblique(data: Dataset, k: int) -> None:
    """Each slice a little more turned than the one before."""
    turn = np.deg2rad(k)
    data.ImageOrientationPatient = [1, 0, 0, 0, float(np.cos(turn)), float(np.sin(turn))]


def sheared(data: Dataset, k: int) -> None:
    """Positions that leave the line."""
    data.ImagePositionPatient = [0, float(k * k) / 8, 3 * k]


def two_series(data: Dataset, k: int) -> None:
    """Even slices of one series, odd ones of another; none says that it is T1."""
    data.SeriesInstanceUID = FIRST if k % 2 else SECOND


def multiframe(data: Dataset, k: int) -> None:
    """Enhanced MR: all frames in one file."""
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
    data.NumberOfFrames = 48
    data.PixelData = noise().tobytes()


def functional_groups(data: Dataset, *, measures: bool = True) -> None:
    """Where the 48 frames lie, as enhanced MR says it (PS3.3, C.7.6.16), the last one first."""
    shared = Dataset()
    if measures:
        shared.PixelMeasuresSequence = [nested(PixelSpacing=[3, 3], SliceThickness=3)]
    shared.PlaneOrientationSequence = [nested(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])]
    data.SharedFunctionalGroupsSequence = [shared]
    data.PerFrameFunctionalGroupsSequence = [
        nested(PlanePositionSequence=[nested(ImagePositionPatient=[0, 0, 3 * k])])
        for k in reversed(range(48))
    ]
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(data, name)


def nested(**elements: object) -> Dataset:
    """An item of a sequence."""
    item = Dataset()
    for name, value in elements.items():
        setattr(item, name, value)
    return item


def enhanced(data: Dataset, k: int) -> None:
    """Enhanced MR as it should be."""
    multiframe(data, k)
    functional_groups(data)


def enhanced_jpeg_ls(data: Dataset, k: int) -> None:
    """The same, compressed frame by frame."""
    enhanced(data, k)
    data.compress(JPEGLSLossless)


def enhanced_without_measures(data: Dataset, k: int) -> None:
    """No frame knows how large its pixels are."""
    multiframe(data, k)
    functional_groups(data, measures=False)


def enhanced_of_millions(data: Dataset, k: int) -> None:
    """A header that promises two million frames."""
    enhanced(data, k)
    data.NumberOfFrames = 2_000_000


def enhanced_one_short(data: Dataset, k: int) -> None:
    """Pixels of 47 frames where 48 are promised."""
    enhanced(data, k)
    data.PixelData = noise()[:47].tobytes()


def deflated_bomb(path: Path) -> None:
    """A deflated instance (PS3.5, A.5) that unpacks to half a gigabyte."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    start = io.BytesIO()
    start.write(bytes(128) + b"DICM")
    write_file_meta_info(start, meta, enforce_standard=False)
    packer = zlib.compressobj(1, wbits=-15)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive, archive.open("IM0", "w") as out:
        out.write(start.getvalue())
        out.write(packer.compress(b"\x09\0\x10\0UN\0\0\0\0\0\xf0"))  # one element of 4 GB
        for _ in range(8):
            out.write(packer.compress(bytes(1 << 26)))
        out.write(packer.flush())


def colour(data: Dataset, k: int) -> None:
    """RGB secondary captures."""
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PlanarConfiguration = 3, "RGB", 0


def tomogram(data: Dataset, k: int) -> None:
    """CT."""
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = CTImageStorage
    data.Modality = "CT"


def rle(data: Dataset, k: int) -> None:
    """RLE Lossless, encoded by pydicom."""
    data.compress(RLELossless)


def jpeg_ls(data: Dataset, k: int) -> None:
    """JPEG-LS Lossless, encoded by pyjpegls."""
    data.compress(JPEGLSLossless)


def jpeg_2000(data: Dataset, k: int) -> None:
    """JPEG 2000 Lossless, encoded by Pillow."""
    from PIL import Image
    from pydicom.encaps import encapsulate

    packed = io.BytesIO()
    Image.fromarray(noise()[k % 48]).save(packed, "JPEG2000", irreversible=False, no_jp2=True)
    data.file_meta.TransferSyntaxUID = JPEG2000Lossless
    data.PixelData = encapsulate([packed.getvalue()])
    data["PixelData"].is_undefined_length = True


def another_size(data: Dataset, k: int) -> None:
    """Compressed pixels of 64 x 64 under a header that states 32 x 32."""
    jpeg_ls(data, k)
    data.Rows = data.Columns = 32


def mislabelled(syntax: str) -> Change:
    """Pixels that are not what the transfer syntax says."""

    def change(data: Dataset, k: int) -> None:
        from pydicom.encaps import encapsulate

        data.file_meta.TransferSyntaxUID = syntax
        data.PixelData = encapsulate([b"\xff\x4f\xff\x51" + bytes(64)])
        data["PixelData"].is_undefined_length = True

    return change


def deep(data: Dataset, k: int) -> None:
    """A sequence in a sequence in a sequence, 60 deep."""
    inner = Dataset()
    inner.PatientName = "Nobody"
    for _ in range(60):
        outer = Dataset()
        outer.ReferencedStudySequence = [inner]
        inner = outer
    data.ReferencedStudySequence = [inner]


BASE = Plan()


def bottomless(path: Path) -> None:
    """One slice with 5,000 sequences of undefined length in each other."""
    one = image(0, lambda data, k: None)
    start, end = b"\x08\x00\x11\x11SQ\0\0\xff\xff\xff\xff", b"\xfe\xff\xdd\xe0\0\0\0\0"
    item, close = b"\xfe\xff\x00\xe0\xff\xff\xff\xff", b"\xfe\xff\x0d\xe0\0\0\0\0"
    at = one.index(b"\x20\x00\x0d\x00UI")  # StudyInstanceUID: elements come in ascending order
    deep = (start + item) * 5000 + (close + end) * 5000
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("IM0", one[:at] + deep + one[at:])


def of(name: str, codes: str, change: Change | None = None, **more: object) -> Case:
    """A case from the plain series."""
    plan = replace(BASE, **({"change": change} if change else {}), **more)
    return case(f"DICOM {name}", codes, lambda _: series(plan))


CASES: list[Case] = [
    of("noise", NOISE),
    of("out of order", NOISE, order=tuple(np.random.default_rng(0).permutation(48))),
    of("zip slip names", NOISE, prefix="../../../../../../tmp/hippocamp-slipped-"),
    of("absolute names", NOISE, prefix="/tmp/hippocamp-slipped-"),
    of("missing slice", SERIES, order=tuple(k for k in range(48) if k != 20)),
    of("doubled slice", SERIES, order=(*range(48), 20)),
    of("mixed series", SERIES, two_series),
    of("oblique mix", SERIES, oblique),
    of("sheared", SERIES, sheared),
    of("one slice", "input.not_3d input.bad_series", order=(3,)),
    of("all at one place", SERIES, put("ImagePositionPatient", [0, 0, 0])),
    of("NaN position", SERIES, put("ImagePositionPatient", ["NaN", "0", "0"])),
    of("position of two", SERIES, put("ImagePositionPatient", [0, 0])),
    of("no position", SERIES, drop("ImagePositionPatient")),
    of("no pixels", SERIES, drop("PixelData")),
    of("zero spacing", "input.bad_geometry input.bad_series", put("PixelSpacing", [0, 0])),
    of("negative spacing", f"input.bad_geometry input.bad_series {NOISE}", put("PixelSpacing", [-3, -3])),
    of("huge spacing", "input.bad_geometry", put("PixelSpacing", [1e6, 1e6])),
    of("flat orientation", "input.bad_geometry input.bad_series",
       put("ImageOrientationPatient", [1, 0, 0, 1, 0, 0])),
    of("rows lie", SERIES, put("Rows", 65)),
    of("rows 65535", "input.bad_series input.bad_voxels", put("Rows", 65535)),
    of("rows 0", "input.bad_series input.bad_voxels", put("Rows", 0)),
    of("bits 32", "input.bad_voxels", put("BitsAllocated", 32)),
    of("bits 1", "input.bad_voxels", put("BitsAllocated", 1)),
    of("one slice of another size", SERIES, put("Rows", 32, only=9)),
    of("CT", SERIES, tomogram),
    of("multi-frame without places", SERIES, multiframe, order=(0,)),
    of("multi-frame enhanced MR", NOISE, enhanced, order=(0,)),
    of("multi-frame JPEG-LS", NOISE, enhanced_jpeg_ls, order=(0,)),
    of("multi-frame without measures", SERIES, enhanced_without_measures, order=(0,)),
    of("multi-frame of 2,000,000", "input.too_large", enhanced_of_millions, order=(0,)),
    of("multi-frame one short", SERIES, enhanced_one_short, order=(0,)),
    case("DICOM deflated bomb", SERIES, deflated_bomb),
    of("colour", SERIES, colour),
    of("JPEG-LS mislabelled", SERIES, mislabelled(JPEGLSLossless)),
    of("JPEG 2000 mislabelled", SERIES, mislabelled(JPEG2000Lossless)),
    of("RLE", NOISE, rle),
    of("JPEG-LS", NOISE, jpeg_ls),
    of("JPEG 2000", NOISE, jpeg_2000),
    of("JPEG-LS of another size", SERIES, another_size),
    of("JPEG baseline", SERIES, mislabelled(JPEGBaseline8Bit)),
    of("sequences 60 deep", NOISE, deep),
    case("DICOM bottomless sequences", SERIES + " input.not_3d", bottomless),
    of("every file cut", SERIES, cut=900),
    of("preamble only", SERIES, cut=132),
    of("rescale slope zero", f"{NOISE} input.bad_voxels", put("RescaleSlope", 0)),
]  # fmt: skip
