"""Zip archives that unpack to too much, point elsewhere, or hold what they should not."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path

from tests.hostile.case import Case, case, nifti


def zipped(entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An honest archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method, compresslevel=1) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return out.getvalue()


def entry(name: bytes, packed: bytes, size: int, crc: int, at: int, method: int = 8) -> tuple[bytes, bytes]:
    """(local header and data, central directory record) with whatever sizes are claimed."""
    about = struct.pack("<3H2H3L2H", 20, 0, method, 0, 0x21, crc, len(packed), size, len(name), 0)
    local = b"PK\3\4" + about + name + packed
    central = b"PK\1\2" + struct.pack("<H", 20) + about + struct.pack("<3H2L", 0, 0, 0, 0, at) + name
    return local, central


def directory(centrals: list[bytes], at: int) -> bytes:
    """The end of an archive."""
    body = b"".join(centrals)
    count = min(len(centrals), 65535)
    return body + b"PK\5\6" + struct.pack("<4H2LH", 0, 0, count, count, len(body), at, 0)


def lying(size: int, data: bytes = bytes(1 << 20), name: bytes = b"scan.nii", method: int = 8) -> bytes:
    """One entry whose directory claims `size` bytes."""
    packed = zlib.compress(data, 1)[2:-4] if method == 8 else data
    local, central = entry(name, packed, size, zlib.crc32(data), 0, method)
    return local + directory([central], len(local))


def overlapping(count: int, size: int) -> bytes:
    """Entries that all share one kernel of compressed zeros (Fifield 2019, A better zip bomb)."""
    packed = zlib.compress(bytes(size), 9)[2:-4]
    local, _ = entry(b"a", packed, size, zlib.crc32(bytes(size)), 0)
    crc = zlib.crc32(bytes(size))
    centrals = [entry(b"%07d" % n, packed, size, crc, 0)[1] for n in range(count)]
    return local + directory(centrals, len(local))


def crowd(path: Path) -> None:
    """A directory of two million entries and nothing else."""
    local, central = entry(b"a", b"", 0, 0, 0)
    with path.open("wb") as out:
        out.write(local)
        for _ in range(2000):
            out.write(central * 1000)
        size = len(central) * 2_000_000
        at = len(local)
        tail = struct.pack("<QHH2L4Q", 44, 45, 45, 0, 0, 2_000_000, 2_000_000, size, at)
        out.write(b"PK\6\6" + tail + b"PK\6\7" + struct.pack("<LQL", 0, at + size, 1))
        out.write(b"PK\5\6" + struct.pack("<4H2LH", 0, 0, 65535, 65535, 0xFFFFFFFF, 0xFFFFFFFF, 0))


def symlink(target: str, name: str = "scan.nii") -> bytes:
    """An entry that is a symbolic link."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        link = zipfile.ZipInfo(name)
        link.create_system, link.external_attr = 3, (0o120777 << 16)
        archive.writestr(link, target)
    return out.getvalue()


def outside(packed_size: int, shift: int) -> bytes:
    """An entry that claims `packed_size` bytes, in an archive whose directory lies `shift` bytes off."""
    local, central = entry(b"scan.nii", b"xyz", 3, 0, 0, 0)
    central = central[:20] + struct.pack("<L", packed_size) + central[24:]
    return local + directory([central], len(local) + shift)


def encrypted() -> bytes:
    """The flag alone."""
    data = bytearray(zipped({"scan.nii": nifti()}))
    data[6] |= 1
    at = data.rindex(b"PK\1\2")
    data[at + 8] |= 1
    return bytes(data)


def damaged() -> bytes:
    """One bit of the data flipped."""
    data = bytearray(zipped({"scan.nii": nifti()}))
    data[200] ^= 0x10
    return bytes(data)


def nested(depth: int) -> bytes:
    """A zip in a zip in a zip ..."""
    data = zipped({"scan.nii": nifti()})
    for _ in range(depth):
        data = zipped({"inner.zip": data})
    return data


NOT = "input.not_a_volume input.bad_series input.corrupt"

CASES: list[Case] = [
    case("zip bomb one entry", "input.too_large", lying(16 << 30 & 0xFFFFFFFF or 0xFFFFFFF0)),
    case("zip entry claims less", "input.corrupt input.truncated input.not_a_volume", lying(4096)),
    case(
        "zip entry claims more",
        "input.corrupt input.too_large input.truncated input.not_a_volume",
        lying(2 << 20),
    ),
    case("zip ratio lie", "input.too_large input.corrupt", lying(900 << 20)),
    case("zip bomb overlapping", "input.too_large", overlapping(4000, 8 << 20)),
    case("zip bomb overlapping DICOM sized", NOT + " input.too_large", overlapping(60, 8 << 20)),
    case("zip of 70,000 entries", "input.too_large", overlapping(65_000, 1)),
    case("zip of 2,000,000 entries", "input.too_large input.corrupt", crowd),
    case("zip nested", NOT, nested(4)),
    case("zip empty", "input.corrupt input.not_a_volume", zipped({})),
    case(
        "zip of folders",
        "input.corrupt input.not_a_volume input.bad_series",
        zipped({"a/": b"", "a/b/": b""}),
    ),
    case("zip of text", NOT, zipped({"readme.txt": b"nothing here"})),
    case("zip entry before the start", "input.corrupt", outside(3, 20)),
    case("zip entry of 4 GB in 100 bytes", "input.corrupt input.truncated", outside(0xFFFFFFF0, 0)),
    case("zip symlink", NOT, symlink("/etc/passwd")),
    case("zip symlink to itself", NOT, symlink("scan.nii")),
    case("zip encrypted", "input.corrupt", encrypted()),
    case("zip damaged", "input.corrupt", damaged()),
    case("zip with bzip2", "input.corrupt", zipped({"scan.nii": nifti()}, zipfile.ZIP_BZIP2)),
    case("zip with lzma", "input.corrupt", zipped({"scan.nii": nifti()}, zipfile.ZIP_LZMA)),
    case("zip cut", "input.corrupt input.truncated", zipped({"scan.nii": nifti()})[:-30]),
    case("zip magic only", "input.corrupt input.truncated", b"PK\3\4" + bytes(40)),
    case("zip with method 99", "input.corrupt", lying(1 << 20, method=99)),
    case("zip pair without image", NOT, zipped({"scan.hdr": nifti()[:348]})),
    case(
        "zip pair of garbage",
        "input.not_a_volume input.corrupt",
        zipped({"a.hdr": b"x" * 348, "a.img": b"y" * 99}),
    ),
]
