"""multipart/related: whatever way the stream is cut, the parts are the same; broken bodies are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import BadRequest
from gateway.dicomweb.related import PartReader

BODIES = [b"", b"\r\n", b"--B", b"\r\n--", b"x" * 100, b"\r\n--A\r\n\r\n", bytes(range(256))]


def body(parts: list[bytes], end: bytes = b"--B--\r\n") -> bytes:
    return (
        b"".join(b"--B\r\nContent-Type: Application/DICOM; x=y\r\n\r\n" + one + b"\r\n" for one in parts)
        + end
    )


def read(data: bytes, cuts: int = 7, most: int = 1000) -> list[tuple[str, bytes, bool]]:
    pieces = iter([data[at : at + cuts] for at in range(0, len(data), cuts)])
    found = PartReader(pieces, "B", most_bytes=most).parts()
    return [(part.media, bytes(part.data), part.too_large) for part in found]


@given(st.lists(st.one_of(st.sampled_from(BODIES), st.binary(max_size=60)), max_size=5), st.integers(1, 50))
def test_parts_do_not_depend_on_the_cuts(parts: list[bytes], cuts: int) -> None:
    safe = [one for one in parts if b"\r\n--B" not in b"\r\n" + one]
    assert read(body(safe), cuts) == [("application/dicom", one, False) for one in safe]


def test_a_preamble_and_an_epilogue_are_skipped() -> None:
    assert read(b"hello\r\n" + body([b"one"]) + b"bye") == [("application/dicom", b"one", False)]


def test_a_large_part_is_dropped_and_the_next_one_is_read() -> None:
    assert read(body([b"x" * 2000, b"y"])) == [
        ("application/dicom", b"", True),
        ("application/dicom", b"y", False),
    ]


@pytest.mark.parametrize("data", [b"", b"hello", body([b"one"], end=b""), b"--B\r\nContent-Type", b"--B"])
def test_what_breaks_off_is_refused(data: bytes) -> None:
    with pytest.raises(BadRequest):
        read(data)


def test_a_header_without_end() -> None:
    with pytest.raises(BadRequest, match="header"):
        read(b"--B\r\n" + b"x" * 20000, cuts=500)


def test_a_boundary_of_73_characters_is_taken() -> None:
    """Orthanc's: two identifiers and a hyphen; RFC 2046 allows 70."""
    mark = "b7549d57-0957-4bc9-a2e3-6039cd2f6875-" * 2
    sent = body([b"x"]).replace(b"--B", b"--" + mark[:73].encode())
    (part,) = PartReader(iter([sent]), mark[:73], most_bytes=1000).parts()
    assert part.data == b"x"
    with pytest.raises(BadRequest):
        PartReader(iter([sent]), "b" * 201, most_bytes=1000)
