"""Which container the first bytes of an upload are, told without trusting names or declared types."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from enum import StrEnum

from contracts.errors import CorruptFile, InputError, NotAVolume
from imaging.dicom_magic import looks_like_dicom
from imaging.headers import check_mgh, check_nifti, is_analyze, is_mgh, is_nifti, is_pair

PEEK = 1 << 16
"""Bytes to look at: gzip may hide a name of any length before the 540 bytes of a NIfTI-2 header."""

_INFLATED = 1024
_SUPPORTED = (
    "Send NIfTI (.nii, .nii.gz), MGH/MGZ, an enhanced DICOM file, or a zip of one DICOM study or one Analyze"
    " pair"
)
_FOREIGN = (
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x89PNG", "a PNG picture"),
    (b"GIF8", "a GIF picture"),
    (b"%PDF", "a PDF document"),
    (b"Rar!", "a RAR archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"\x89HDF", "an HDF5 (or MINC 2) file"),
    (b"CDF\x01", "a MINC 1 file"),
    (b"NRRD", "an NRRD volume"),
)


class Media(StrEnum):
    """Containers that preprocessing can open."""

    NIFTI = "nifti"
    NIFTI_GZ = "nifti.gz"
    MGH = "mgh"
    MGZ = "mgz"
    ZIP = "zip"
    DICOM = "dicom"
    DICOM_GZ = "dicom.gz"


PLAIN = frozenset({Media.NIFTI, Media.MGH})
"""What is neither packed nor an archive."""


@dataclass(frozen=True)
class Sniffed:
    """The container, and the bytes its header promises (None when only decoding can tell)."""

    media: Media
    promised_bytes: int | None = None


def sniff(head: bytes) -> Sniffed:
    """Recognise the first PEEK bytes; NotAVolume, or what the header check finds, otherwise."""
    if head.startswith(b"\x1f\x8b"):
        return _gzip(head)
    if head.startswith(b"PK\x03\x04"):
        return Sniffed(Media.ZIP)
    if is_nifti(head):
        return Sniffed(Media.NIFTI, check_nifti(head))
    if is_mgh(head):
        return Sniffed(Media.MGH, check_mgh(head))
    if looks_like_dicom(head):
        return Sniffed(Media.DICOM)
    raise NotAVolume(f"{_guess(head)}. {_SUPPORTED}")


def _gzip(head: bytes) -> Sniffed:
    try:
        inner = zlib.decompressobj(wbits=31).decompress(head, _INFLATED)
    except zlib.error as error:
        raise CorruptFile(f"The gzip stream is damaged at its start ({error}); send the file again") from None
    if is_nifti(inner):
        check_nifti(inner)
        return Sniffed(Media.NIFTI_GZ)
    if is_mgh(inner):
        check_mgh(inner)
        return Sniffed(Media.MGZ)
    if looks_like_dicom(inner):
        return Sniffed(Media.DICOM_GZ)
    raise NotAVolume(f"Inside the gzip: {_guess(inner)}. {_SUPPORTED}")


def _guess(head: bytes) -> str:
    if is_pair(head) or is_analyze(head):
        return "This is a header without its image; zip the .hdr and .img together"
    if head.startswith(b"PK\x05\x06"):
        return "This zip archive has no entries"
    for magic, name in _FOREIGN:
        if head.startswith(magic):
            return f"This is {name}"
    return f"No known volume starts with the bytes {head[:4].hex(' ') or 'of an empty stream'}"


def is_known(head: bytes) -> bool:
    """Whether `sniff` raises nothing for these first bytes."""
    try:
        sniff(head)
    except InputError:
        return False
    return True
