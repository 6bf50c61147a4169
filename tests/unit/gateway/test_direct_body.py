"""A body read into a buffer is the body that was sent, wherever its first bytes came along with."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from gunicorn.http.body import Body, ChunkedReader, LengthReader
from gunicorn.http.unreader import SocketUnreader

from gateway.direct_body import DirectBody

SENT = bytes(range(256)) * 40


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(5)
        yield ours, theirs


def body_of(ours: socket.socket, *, with_headers: bytes) -> DirectBody:
    unreader = SocketUnreader(ours)
    unreader.unread(with_headers)
    body = DirectBody.of(Body(LengthReader(unreader, len(SENT))))
    assert isinstance(body, DirectBody)
    return body


@pytest.mark.parametrize("ahead", [0, 1, 700, len(SENT)])
@pytest.mark.parametrize("piece", [1000, 1 << 16])
def test_all_of_it_and_nothing_of_the_next_request(
    ends: tuple[socket.socket, socket.socket], ahead: int, piece: int
) -> None:
    ours, theirs = ends
    body, found = body_of(ours, with_headers=SENT[:ahead]), bytearray()
    theirs.sendall(SENT[ahead:] + b"GET / HTTP/1.1")
    buffer = memoryview(bytearray(piece))
    while got := body.readinto(buffer):
        found += buffer[:got]
    assert found == SENT
    assert body.read(10) == b""
    assert ours.recv(100) == b"GET / HTTP/1.1"


def test_reads_of_both_kinds_take_turns(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    body, buffer = body_of(ours, with_headers=SENT[:5]), memoryview(bytearray(100))
    theirs.sendall(SENT[5:])
    found = body.readline(3)
    while got := body.readinto(buffer):
        found += bytes(buffer[:got]) + body.read(7)
    assert found == SENT


def test_a_connection_that_breaks_is_not_used_again(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, _ = ends
    ours.settimeout(0.01)
    body = body_of(ours, with_headers=b"")
    with pytest.raises(TimeoutError):
        body.readinto(memoryview(bytearray(10)))
    assert body.failed


def test_chunked_bodies_stay_as_they_are(ends: tuple[socket.socket, socket.socket]) -> None:
    body = Body(ChunkedReader(None, SocketUnreader(ends[0])))
    assert DirectBody.of(body) is body
