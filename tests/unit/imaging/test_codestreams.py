"""Text inside compressed pixels goes, the pixels and every length stay."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless

from imaging.codestreams import blank_text
from imaging.dicom_file import UnreadableInstance
from imaging.instances import deidentify
from preprocessing_service.formats.pixels import pixels_of
from tests.hostile.dicom_files import Dataset, image, noise
from tests.inputs.made import encoded, jpeg_lossless, lossless_jpeg, t1

pytestmark = [pytest.mark.inputs, pytest.mark.privacy]

CANARY = b"Zqxcanary^Theodora"


def segment(marker: int, text: bytes) -> bytes:
    """A marker segment that holds the text."""
    return struct.pack(">BBH", 0xFF, marker, len(text) + 2) + text


def jpeg2000(*, file_format: bool) -> bytes:
    """A lossless stream, raw or in a JP2 file."""
    out = io.BytesIO()
    picture = Image.fromarray(noise()[0])
    picture.save(out, "JPEG2000", irreversible=False, no_jp2=not file_format, comment="Zqxcanary^Theodora")
    return out.getvalue()


def jp2() -> bytes:
    """With an XML box before the codestream and one of no kind behind it."""
    data, xml = jpeg2000(file_format=True), b"<patient>" + CANARY + b"</patient>"
    at = data.index(b"jp2c") - 4
    boxes = struct.pack(">L4s", 8 + len(xml), b"xml ") + xml
    stream = bytearray(data[at:])
    struct.pack_into(">L", stream, 0, len(stream))
    return data[:at] + boxes + bytes(stream) + struct.pack(">L4s", 8 + len(CANARY), b"uuid") + CANARY


def in_instance(stream: bytes, syntax: str) -> bytes:
    """An instance whose one frame is the stream."""

    def change(data: Dataset, k: int) -> None:
        data.file_meta.TransferSyntaxUID = syntax
        data.PixelData = encapsulate([stream])
        data["PixelData"].is_undefined_length = True

    return image(0, change)


def jpeg_ls() -> bytes:
    """With a comment and an application segment."""
    one = pydicom.dcmread(io.BytesIO(image(0, lambda data, k: data.compress(JPEGLSLossless))))
    (frame,) = generate_frames(one.PixelData, number_of_frames=1)
    return frame[:2] + segment(0xFE, CANARY) + segment(0xE9, CANARY) + frame[2:]


STREAMS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "JPEG 2000 comment": (JPEG2000Lossless, lambda: jpeg2000(file_format=False)),
    "JP2 boxes": (JPEG2000Lossless, jp2),
    "JPEG-LS segments": (JPEGLSLossless, jpeg_ls),
}


@pytest.mark.parametrize("kind", STREAMS)
def test_text_goes_and_pixels_stay(kind: str) -> None:
    syntax, make = STREAMS[kind]
    sent = in_instance(make(), syntax)
    kept = deidentify(sent)
    assert CANARY in sent
    assert CANARY[:4] not in kept
    before, after = (pydicom.dcmread(io.BytesIO(one)) for one in (sent, kept))
    assert len(after.PixelData) == len(before.PixelData)
    assert np.array_equal(pixels_of(after, 0), noise()[0])


def test_text_of_jpeg_lossless_goes() -> None:
    one = t1()[0]
    wanted = one.pixel_array
    jpeg_lossless(one)
    (frame,) = generate_frames(one.PixelData, number_of_frames=1)
    frame = frame[:2] + segment(0xFE, CANARY) + segment(0xE1, CANARY) + frame[2:]
    one.PixelData = encapsulate([frame])
    one["PixelData"].is_undefined_length = True
    kept = deidentify(encoded(one))
    assert CANARY[:4] not in kept
    assert np.array_equal(pixels_of(pydicom.dcmread(io.BytesIO(kept)), 0), wanted)


UNNEEDED = [
    *range(0x02, 0xC0), 0xC8, 0xDE, 0xDF, *range(0xE0, 0xF7), *range(0xF9, 0xFF),
]  # fmt: skip
"""Markers of segments that no picture needs: RES, JPG, DHP, EXP, APPn, JPGn without those of JPEG-LS, COM."""


@pytest.mark.parametrize("make", [jpeg_ls, lambda: lossless_jpeg(noise()[0], 16)], ids=["ls", "lossless"])
def test_text_of_every_segment_that_no_picture_needs_goes(make: Callable[[], bytes]) -> None:
    whole = make()
    for marker in UNNEEDED:
        stream = bytearray(whole[:2] + segment(marker, CANARY) + whole[2:])
        size = len(stream)
        blank_text(stream)
        assert CANARY[:4] not in stream, f"{marker:02x}"
        assert len(stream) == size


def test_a_frame_in_two_fragments() -> None:
    stream = jpeg_ls()
    cut = 30  # inside the comment
    items = b"".join(
        b"\xfe\xff\x00\xe0" + struct.pack("<L", len(part)) + part
        for part in (b"", stream[:cut], stream[cut:] + b"\0" * (len(stream) % 2))
    )

    def change(dataset: Dataset, k: int) -> None:
        dataset.file_meta.TransferSyntaxUID = JPEGLSLossless
        dataset.PixelData = items
        dataset["PixelData"].is_undefined_length = True

    kept = deidentify(image(0, change))
    assert CANARY[:4] not in kept
    assert np.array_equal(pixels_of(pydicom.dcmread(io.BytesIO(kept)), 0), noise()[0])


def test_text_behind_the_end_goes() -> None:
    stream = bytearray(jpeg2000(file_format=False) + CANARY)
    size = len(stream)
    blank_text(stream)
    assert CANARY[:4] not in stream
    assert len(stream) == size


@pytest.mark.parametrize(
    "stream", [b"\0\0", b"\xff\xd8\xff\xfe", b"\xff\xd8\xff\xfe\xff\xffxx", b"\xff\x4f\xff\x51\0", CANARY]
)
def test_a_damaged_stream_is_refused(stream: bytes) -> None:
    with pytest.raises(UnreadableInstance) as refused:
        deidentify(in_instance(stream, JPEG2000Lossless))
    assert "Zqx" not in str(refused.value)
