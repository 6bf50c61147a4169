"""`python -m bench.hostile_clients.attacks NAME PORT KEY JOB`: one kind of client, until its input is closed.

Prints `ready` once all of it holds, and `served=N` at its end: how many of them got what they came for.
"""

from __future__ import annotations

import gzip
import os
import select
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress

from bench.hostile_clients.wire import Address
from bench.volumes import header

_RAW = "Content-Type: application/octet-stream"
_LARGE = 12 << 20
_GIGABYTE = (500, 500, 500)
_UNPACKED = (256, 256, 512)


def until_told(step: Callable[[], None], *, every: float = 0.25) -> None:
    """Repeat a step until the standard input is closed."""
    while not select.select([sys.stdin], [], [], every)[0]:
        step()


def each(wires: list[socket.socket], data: bytes) -> None:
    """Send the same bytes wherever they are taken."""
    for wire in wires:
        with suppress(OSError):
            wire.send(data)


def _nothing() -> None:
    """A client that only holds its connection."""


def silent(at: Address, count: int) -> int:
    """Connections on which nothing is said."""
    wires = at.many(count)
    ready()
    until_told(_nothing)
    return len(wires)


def slow_readers(at: Address) -> int:
    """Ask for 190 kB again and again, and never read."""
    wires, request = at.many(40, window=4096), at.head("GET", "/openapi.json")
    each(wires, request * 10)
    ready()
    until_told(lambda: each(wires, request))
    return len(wires)


def slow_senders(at: Address) -> int:
    """Volumes of 12 MB that come a byte at a time."""
    wires = at.many(40)
    each(wires, at.head("POST", "/v1/jobs", _RAW, f"Content-Length: {_LARGE}"))
    each(wires, header((256, 256, 180)))
    ready()
    until_told(lambda: each(wires, b"x"), every=1.0)
    return len(wires)


def slow_heads(at: Address) -> int:
    """Heads that come a byte at a time."""
    wires = at.many(40)
    each(wires, b"GET / HTTP/1.1\r\nX-Slow: ")
    ready()
    until_told(lambda: each(wires, b"x"), every=1.0)
    return len(wires)


def streams(at: Address, job: str) -> int:
    """200 event streams; those that got the state of the job are served. Who is told 503 asks again."""
    wires, request = at.many(200), at.head("GET", f"/v1/jobs/{job}/events", "Accept: text/event-stream")
    each(wires, request)
    said = dict.fromkeys(wires, b"")

    def read() -> None:
        for wire in wires:
            with suppress(OSError):
                said[wire] += wire.recv(1 << 16)
            if said[wire].startswith(b"HTTP/1.1 503 "):
                said[wire] = b""
                each([wire], request)

    ready()
    until_told(read)
    return sum(b"data: " in text for text in said.values())


def gigabyte(at: Address) -> int:
    """A volume of 1 GB, as fast as it goes."""

    def body() -> Iterator[bytes]:
        yield header(_GIGABYTE, doubles=True)
        piece = os.urandom(1 << 20)
        for _ in range(1000):
            yield piece[: 1000 * 1000]

    size = 352 + 1000**3

    def send() -> int:
        with at.connect() as wire:
            wire.settimeout(120)
            wire.sendall(at.head("POST", "/v1/jobs", _RAW, f"Content-Length: {size}", "Connection: close"))
            for piece in body():
                wire.sendall(piece)
            return int(wire.recv(1 << 16)[9:12])

    ready()
    got = [0]
    sending = threading.Thread(target=lambda: got.append(send()), daemon=True)
    sending.start()
    until_told(_nothing)
    sending.join(60)
    return int(got[-1] == 202)


def held_threads(at: Address) -> int:
    """64 senders of small files that take long to unpack, each again as soon as it has its answer."""
    packed = [gzip.compress(header(_UNPACKED) + os.urandom(8) + bytes((1 << 25) - 8), 1) for _ in range(4)]
    fields = (_RAW, "Connection: close")
    sent = [at.head("POST", "/v1/jobs", *fields, f"Content-Length: {len(one)}") + one for one in packed]
    return _crowd(at, 64, sent)


def waiters(at: Address) -> int:
    """300 submissions that want to wait for their jobs."""
    wires, served = at.many(300), 0
    body = header((8, 8, 8)) + os.urandom(512)
    each(wires, at.head("POST", "/v1/jobs", _RAW, "Prefer: wait=30", f"Content-Length: {len(body)}") + body)
    ready()
    until_told(_nothing)
    for wire in wires:
        with suppress(OSError):
            served += b" 202 " in wire.recv(64)
    return len(wires) - served


def asks_health(at: Address) -> int:
    """32 anonymous clients that ask /readyz and /metrics without a pause."""
    paths = ("/readyz?only=line,blobs,audit", "/metrics")
    tail = " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    return _crowd(at, 32, [f"GET {path}{tail}".encode() for path in paths])


def _crowd(at: Address, count: int, requests: list[bytes]) -> int:
    """So many threads that send these requests in turn; how many were answered with success."""
    over, good = threading.Event(), Counter[bool]()

    def go_on(number: int) -> None:
        while not over.is_set():
            number += 1
            with suppress(OSError):
                status, _ = at.ask(requests[number % len(requests)], seconds=60)
                good[status < 300] += 1

    senders = [threading.Thread(target=go_on, args=(n,), daemon=True) for n in range(count)]
    for one in senders:
        one.start()
    ready()
    until_told(_nothing)
    over.set()
    return good[True]


def ready() -> None:
    """All that is to be held is held."""
    time.sleep(0.5)
    print("ready", flush=True)


def main(name: str, port: str, key: str, job: str) -> int:
    """One attack, by the name of its row. Such clients are other machines, which take no core of this one."""
    os.nice(10)
    at = Address(int(port), key)
    kinds: dict[str, Callable[[], int]] = {
        "300 silent": lambda: silent(at, 300),
        "1000 silent": lambda: silent(at, 1000),
        "40 slow readers": lambda: slow_readers(at),
        "40 slow senders": lambda: slow_senders(at),
        "40 slow heads": lambda: slow_heads(at),
        "200 streams": lambda: streams(at, job),
        "300 waits": lambda: waiters(at),
        "1 GB upload": lambda: gigabyte(at),
        "threads held": lambda: held_threads(at),
        "health flood": lambda: asks_health(at),
    }
    print(f"served={kinds[name]()}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
