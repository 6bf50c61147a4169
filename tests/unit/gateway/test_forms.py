"""The streaming form reader agrees with what was sent, however the body is cut into pieces."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import BadRequest
from gateway.uploads.forms import VolumeStream

EDGE = "edge"


def part(name: str, data: bytes, *, file: bool = False) -> bytes:
    extra = '; filename="x"' if file else ""
    return (
        b"--edge\r\n"
        + f'Content-Disposition: form-data; name="{name}"{extra}\r\n\r\n'.encode()
        + data
        + b"\r\n"
    )


def cut(body: bytes, size: int) -> Iterator[bytes]:
    return (body[at : at + size] for at in range(0, len(body), size))


def read(body: bytes, size: int = 1 << 16) -> tuple[bytes, dict[str, str]]:
    form = VolumeStream(EDGE)
    return b"".join(form.chunks(cut(body, size))), form.fields


tricky = st.lists(
    st.sampled_from([b"\r", b"\n", b"-", b"--edge", b"\r\n--edg", b"x", b"\0"]), max_size=30
).map(b"".join)


@given(st.binary(max_size=300) | tricky, st.integers(1, 70))
def test_every_cut_gives_the_same_bytes(data: bytes, size: int) -> None:
    if b"\n--edge" in b"\n" + data or b"\r--edge" in data:
        return  # that would be a boundary, which no sender may put into a part
    body = (
        part("priority", b"stat")
        + part("file", data, file=True)
        + part("deadline_seconds", b"9")
        + b"--edge--\r\n"
    )
    assert read(body, size) == (data, {"priority": "stat", "deadline_seconds": "9"})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--edge--\r\n",
        part("other", b"x") + b"--edge--\r\n",
        part("file", b"x"),
        part("file", b"x")[:-2],
        part("file", b"x") * 2 + b"--edge--\r\n",
        part("priority", b"x" * 5000) + b"--edge--\r\n",
        b"--edge\r\nX: y\r\n\r\ndata\r\n--edge--\r\n",
        b"--edge\r\n" + b"\xff: \xfe\r\n\r\n" + b"--edge--\r\n",
        b"".join(part(f"f{n}", b"x") for n in range(30)) + b"--edge--\r\n",
        b"preamble" * 500_000,
    ],
)
def test_broken_forms(body: bytes) -> None:
    with pytest.raises(BadRequest):
        read(body)


def test_a_field_that_is_sent_twice_is_refused() -> None:
    body = part("age", b"7") + part("age", b"1") + part("file", b"x", file=True) + b"--edge--\r\n"
    with pytest.raises(BadRequest, match="several parts named 'age'"):
        read(body)


def test_a_file_in_another_field_is_told_the_field() -> None:
    with pytest.raises(BadRequest, match="in the field 'image'; the field is called 'file'"):
        read(part("image", b"x", file=True) + b"--edge--\r\n")
