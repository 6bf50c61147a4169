"""A client may be slow, but not for ever."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from gateway import bounded_worker
from gateway.bounded_worker import BoundedSocket


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[BoundedSocket, socket.socket]]:
    """Our end and the client's, with a grace of 0.2 s and a least rate of 1000 bytes a second."""
    monkeypatch.setattr(bounded_worker, "GRACE_SECONDS", 0.2)
    monkeypatch.setattr(bounded_worker, "LEAST_RATE", 1000)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield BoundedSocket(ours), theirs


def read_for_ever(ours: BoundedSocket) -> None:
    while True:
        ours.recv(10)


def test_a_silent_client_is_let_go(pair: tuple[BoundedSocket, socket.socket]) -> None:
    began = time.monotonic()
    with pytest.raises(ConnectionResetError):
        pair[0].recv(10)
    assert 0.15 < time.monotonic() - began < 2


def test_a_dripping_client_is_let_go(pair: tuple[BoundedSocket, socket.socket]) -> None:
    ours, theirs = pair
    stop = threading.Event()

    def drip() -> None:
        while not stop.wait(0.05):
            theirs.sendall(b"x")

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        began = time.monotonic()
        with pytest.raises(ConnectionResetError):
            read_for_ever(ours)
        assert time.monotonic() - began < 5
    finally:
        stop.set()
        thread.join()


def test_what_was_sent_buys_time_and_a_new_request_starts_afresh(
    pair: tuple[BoundedSocket, socket.socket],
) -> None:
    ours, theirs = pair
    theirs.sendall(bytes(600))
    assert len(ours.recv(1000)) == 600
    threading.Timer(0.5, theirs.sendall, [b"late"]).start()
    assert ours.recv(10) == b"late"
    with pytest.raises(ConnectionResetError):
        ours.recv(10)
    ours.begin()
    theirs.sendall(b"again")
    assert ours.recv(10) == b"again"


def test_our_own_work_costs_the_client_nothing(pair: tuple[BoundedSocket, socket.socket]) -> None:
    ours, theirs = pair
    for _ in range(3):
        theirs.sendall(b"x")
        assert ours.recv(1) == b"x"
        time.sleep(0.15)
    assert ours.fileno() > 0
