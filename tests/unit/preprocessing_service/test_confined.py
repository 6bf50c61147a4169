"""A stream made to hurt GDCM ends a child, never the worker; data that end early are refused, not made up."""

from __future__ import annotations

import io
import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate, generate_frames

from contracts.errors import BadSeries
from imaging.dicom_file import UnreadableInstance
from imaging.instances import deidentify
from preprocessing_service.formats import confined as limits
from preprocessing_service.formats.confined import Died, confined
from preprocessing_service.formats.pixels import pixels_of
from tests.inputs.made import encoded, jpeg_lossless, t1

pytestmark = [pytest.mark.inputs, pytest.mark.hostile]


def stream() -> bytes:
    """A lossless frame of a plain slice."""
    one = t1()[0]
    jpeg_lossless(one)
    return next(generate_frames(one.PixelData, number_of_frames=1)).rstrip(b"\0")


def instance(frame: bytes) -> FileDataset:
    """The slice with this frame, read back from its bytes."""
    one = t1()[0]
    jpeg_lossless(one)
    one.PixelData = encapsulate([frame])
    one["PixelData"].is_undefined_length = True
    return pydicom.dcmread(io.BytesIO(encoded(one)))


def with_byte(place: int, value: int) -> Callable[[bytes], bytes]:
    """One byte of the frame's header changed, counted from its marker."""

    def change(frame: bytes) -> bytes:
        at = frame.index(b"\xff\xc3") + place
        return frame[:at] + bytes([value]) + frame[at + 1 :]

    return change


LIES: dict[str, Callable[[bytes], bytes]] = {
    "precision 0": with_byte(4, 0),
    "precision 17": with_byte(4, 17),
    "precision 255": with_byte(4, 255),
    "other rows": with_byte(5, 0x7F),
    "other columns": with_byte(7, 0x7F),
    "three components": with_byte(9, 3),
    "a lossy frame": with_byte(1, 0xC0),
    "a progressive frame": with_byte(1, 0xC2),
}
CUTS: dict[str, Callable[[bytes], bytes]] = {
    "half": lambda frame: frame[: len(frame) // 2] + b"\xff\xd9",
    "nearly all": lambda frame: frame[:-40] + b"\xff\xd9",
    "no end": lambda frame: frame[: len(frame) // 2],
}


def test_a_whole_stream_is_read() -> None:
    assert np.array_equal(pixels_of(instance(stream()), 0), t1()[0].pixel_array)


@pytest.mark.parametrize("kind", LIES)
def test_a_lie_is_refused_at_the_door(kind: str) -> None:
    with pytest.raises(UnreadableInstance):
        deidentify(encoded(instance(LIES[kind](stream()))))


@pytest.mark.parametrize("kind", [*LIES, *CUTS])
def test_a_worker_outlives_every_stream(kind: str) -> None:
    with pytest.raises(BadSeries):
        pixels_of(instance((LIES | CUTS)[kind](stream())), 0)


def test_damaged_bytes_never_end_the_worker() -> None:
    whole, random = stream(), np.random.default_rng(7)
    for _ in range(60):
        damaged = bytearray(whole)
        for at in random.integers(2, min(len(whole), 120), 3):
            damaged[at] = random.integers(256)
        with suppress(BadSeries):
            pixels_of(instance(bytes(damaged)), 0)


def _crash() -> bytes:
    os.kill(os.getpid(), signal.SIGSEGV)
    return b"ab"


def _greedy() -> bytes:
    return bytes(limits.MEMORY * 4)[:2]


DEATHS: dict[str, Callable[[], bytes]] = {
    "it crashes": _crash,
    "it takes too much memory": _greedy,
    "it opens a connection": lambda: bytes(socket.socket().fileno() * 0 + 2),
    "it reads a file": lambda: Path("/etc/hostname").read_bytes()[:0] + b"ab",
    "it answers with another size": lambda: b"abc",
    "it raises": lambda: bytes(-1),
}


@pytest.mark.parametrize("kind", DEATHS)
def test_a_child_that_misbehaves_dies_alone(kind: str) -> None:
    with pytest.raises(Died):
        confined(DEATHS[kind], 2)


def test_a_child_that_computes_for_ever_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CPU_SECONDS", 1)

    def compute() -> bytes:
        while True:
            pass

    with pytest.raises(Died):
        confined(compute, 2)


def test_a_child_that_waits_for_ever_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WALL_SECONDS", 0.3)
    with pytest.raises(Died):
        confined(lambda: signal.pause() or b"ab", 2)


def test_no_descriptor_of_ours_is_usable_in_it() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:

        def send() -> bytes:
            ours.send(b"x")
            return b"ab"

        with pytest.raises(Died):
            confined(send, 2)
        theirs.setblocking(False)
        with pytest.raises(BlockingIOError):
            theirs.recv(1)


def test_the_answer_comes_back() -> None:
    assert confined(lambda: b"ab", 2) == b"ab"
