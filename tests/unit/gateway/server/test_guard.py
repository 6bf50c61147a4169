"""Each limit of a connection, met by the client it is for; over TCP and over a Unix socket."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from gateway.server import guard
from gateway.server.connections import Connections
from gateway.server.guard import CONNECTIONS, OPS_CONNECTIONS, OPS_PORTS, STATE, Guard
from gateway.server.listeners import listen
from gateway.server.logs import WithoutRequests
from gateway.server.phase import Phase
from gateway.server.replies import Reply
from gateway.server.wsgi import HttpAnswer
from tests.conftest import free_port
from tests.support.waiting import MOST_WAIT_SECONDS, eventually
from tests.support.wires import send

BIG = bytes(190_000)
CHUNKED = b"POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
GET = b"GET /%s HTTP/1.1\r\nHost: here\r\n\r\n"


class App:
    """Answers by path, "held" once `released` is set; `seen` holds the address that the guard knows each
    request's connection by."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.released = threading.Event()
        self.most, self.each = 100, 100

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._live(scope["state"], receive, send)
            return
        connection: Guard = scope["state"][STATE]
        self.seen.append(connection.address)
        reply = Reply(send, connection, last=False)
        if scope["path"] == "/admitted":
            connection.admit()
        if scope["path"] in {"/body", "/admitted"}:
            while (await receive()).get("more_body"):
                pass
        if scope["path"] == "/slow":
            await asyncio.sleep(1)
        while scope["path"] == "/held" and not self.released.is_set():
            await asyncio.sleep(0.02)
        await reply.whole(HttpAnswer(200, [], BIG if scope["path"] == "/big" else b"done"))
        if connection.is_over:
            await connection.gone.wait()

    async def _live(self, state: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        for name in (CONNECTIONS, OPS_CONNECTIONS):
            state[name] = Connections(self.most, self.each, exempt=lambda _: False)
        state[OPS_PORTS] = frozenset()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})


class Server:
    """Uvicorn with the guard, in a thread."""

    def __init__(self, app: App, address: str) -> None:
        self.app, self.address = app, address
        config = uvicorn.Config(
            app, http=Guard, loop="uvloop", ws="none", lifespan="on", log_config=None, access_log=False
        )
        self._server = uvicorn.Server(config)
        self._sockets = listen(address)
        self._thread = threading.Thread(target=self._server.run, args=(self._sockets,))

    def __enter__(self) -> Server:
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self.app.released.set()
        self._server.should_exit = True
        self._thread.join()

    def connect(self, *, window: int = 0, source: str = "127.0.0.1") -> socket.socket:
        if self.address.startswith("unix:"):
            one = socket.socket(socket.AF_UNIX)
            one.settimeout(MOST_WAIT_SECONDS)
            one.connect(self.address.removeprefix("unix:"))
            return one
        one = socket.socket()
        if window:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        one.settimeout(MOST_WAIT_SECONDS)
        one.bind((source, 0))
        with contextlib.suppress(ConnectionError):  # the server may be so quick to end it
            one.connect(("127.0.0.1", int(self.address.rpartition(":")[2])))
        return one


@pytest.fixture(params=["tcp", "unix"])
def server(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Server]:
    """With limits of half a second, looked at ten times a second."""
    for name in ("HEAD_SECONDS", "DRAIN_SECONDS"):
        monkeypatch.setattr(guard, name, 0.5)
    short = {Phase.HEAD: 0.5, Phase.DRAIN: 0.5, Phase.OVER: 0.5}
    monkeypatch.setattr(guard, "_MOST_SECONDS", short)
    monkeypatch.setattr(guard, "LOOK_SECONDS", 0.1)
    address = f"127.0.0.1:{free_port()}" if request.param == "tcp" else f"unix:{tmp_path}/s"
    with Server(App(), address) as running:
        yield running


def ended_after(wire: socket.socket) -> float:
    """Seconds until the server ends the connection, by an end or a reset."""
    began = time.monotonic()
    try:
        while wire.recv(1 << 16):
            pass
    except TimeoutError:
        raise
    except OSError:
        pass  # reset, or reset before it was connected
    return time.monotonic() - began


def read(wire: socket.socket) -> bytes:
    said = b""
    with contextlib.suppress(ConnectionError):
        while piece := wire.recv(1 << 16):
            said += piece
    return said


def test_a_silent_connection_is_ended(server: Server) -> None:
    began = time.monotonic()
    with server.connect() as wire:
        ended_after(wire)
    assert time.monotonic() - began > 0.3, "it had its time"


def test_a_head_that_drips_is_answered_408(server: Server) -> None:
    with server.connect() as wire:
        stop = threading.Event()

        def drip() -> None:
            with contextlib.suppress(OSError):
                wire.sendall(b"GET / HTTP/1.1\r\nX: ")
                while not stop.wait(0.05):
                    wire.sendall(b"x")

        dripping = threading.Thread(target=drip)
        dripping.start()
        said = read(wire)
        stop.set()
        dripping.join()
    assert said.startswith(b"HTTP/1.1 408 ")
    assert b"request.too_slow" in said


def test_a_request_that_is_served_is_not_ended_however_long_it_takes(server: Server) -> None:
    with server.connect() as wire:
        send(wire, GET % b"slow")
        assert wire.recv(100).startswith(b"HTTP/1.1 200 ")


def test_a_connection_that_had_its_answer_may_ask_again_later(server: Server) -> None:
    with server.connect() as wire:
        for _ in range(2):
            send(wire, GET % b"x")
            assert wire.recv(1000).endswith(b"done")
            time.sleep(0.8)


@pytest.mark.parametrize(
    "head",
    [b"X: " + b"y" * 20_000, b"\r\n".join(b"X-%d: y" % n for n in range(100)), b"X: y\r\n" * 9000],
    ids=["long", "many", "large"],
)
def test_a_large_head_is_answered_431(server: Server, head: bytes) -> None:
    with server.connect() as wire:
        send(wire, b"GET / HTTP/1.1\r\nHost: here\r\n" + head + b"\r\n\r\n")
        said = read(wire)
    assert said.startswith(b"HTTP/1.1 431 ")
    assert server.app.seen == []


def test_a_long_address_is_answered_431(server: Server) -> None:
    with server.connect() as wire:
        send(wire, b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: here\r\n\r\n")
        assert read(wire).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /zqxcanary foo bar HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nX Zqxcanary: a\r\n\r\n",
        CHUNKED + b"2;zqxcanary\nb\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"zqxcanary\r\n",
        b"CONNECT zqxcanary:80 HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
    ids=["line", "field", "chunk extension", "chunk size", "connect"],
)
def test_what_is_no_request_is_answered_400_and_nowhere_repeated(
    server: Server, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with server.connect() as wire:
        send(wire, sent)
        said = read(wire)
    assert said.startswith(b"HTTP/1.1 400 ")
    assert b"request.malformed" in said
    assert b"zqxcanary" not in said
    assert "zqxcanary" not in caplog.text


def test_fields_behind_a_chunked_body_are_no_part_of_the_head(server: Server) -> None:
    with server.connect() as wire:
        send(wire, CHUNKED + b"2\r\n{}\r\n0\r\nX: y\r\n\r\n")
        assert wire.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_the_rest_of_a_body_that_was_answered_early_is_read_within_bounds(server: Server) -> None:
    with server.connect() as wire:
        send(wire, b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000\r\n\r\n")
        send(wire, bytes(4_000_000))
        assert wire.recv(1000).startswith(b"HTTP/1.1 200 ")
        send(wire, GET % b"x")
        assert wire.recv(1000).startswith(b"HTTP/1.1 200 "), "the connection is as good as before"
    with server.connect() as wire:
        send(wire, b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000\r\n\r\n")
        assert wire.recv(1000).startswith(b"HTTP/1.1 200 ")
        ended_after(wire)  # when the rest does not come


def test_an_unread_answer_ends_the_connection_and_a_slow_reader_keeps_it(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.server.unread.UNREAD_SECONDS", 1.0)
    monkeypatch.setattr("gateway.server.replies.GRACE_SECONDS", 1.0)
    with server.connect(window=4096) as deaf, server.connect(window=4096) as slow:
        send(deaf, GET % b"big" * 30)
        send(slow, GET % b"big" * 8)
        got = 0
        while got < 200_000:  # which takes three times as long as an answer may stay unread
            piece = slow.recv(8192)
            assert piece, "the slow reader was cut off"
            got += len(piece)
            time.sleep(0.12)
        assert _reset(deaf)


def _reset(wire: socket.socket) -> bool:
    """Whether the server has given up: what the kernel holds can be read, but not all that was asked for."""
    taken = 0
    try:
        while piece := wire.recv(1 << 16):
            taken += len(piece)
    except ConnectionError:
        return True
    return taken < 30 * len(BIG)


def test_too_many_requests_at_once_on_a_connection_end_it(server: Server) -> None:
    with server.connect() as wire:
        send(wire, GET % b"slow" + GET % b"x" * 200)
        assert b"done" not in read(wire)


def test_a_request_with_an_upgrade_is_answered(server: Server) -> None:
    with server.connect() as wire:
        send(wire, b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        assert wire.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_an_address_that_holds_its_share_loses_its_oldest_idle_connection(tmp_path: Path) -> None:
    app = App()
    app.each = 3
    with Server(app, f"127.0.0.1:{free_port()}") as server, contextlib.ExitStack() as held:
        wires = [held.enter_context(server.connect()) for _ in range(3)]
        send(wires[0], GET % b"held")
        eventually(lambda: app.seen)
        newcomer = held.enter_context(server.connect())
        send(newcomer, GET % b"x")
        assert newcomer.recv(1000).endswith(b"done")
        assert ended_after(wires[1]) < guard.HEAD_SECONDS / 2, "the oldest without a request"
        app.released.set()
        assert wires[0].recv(1000).endswith(b"done"), "a request that is served is never given up"


def test_no_room_is_made_where_all_are_served(tmp_path: Path) -> None:
    app = App()
    app.each = 2
    with Server(app, f"127.0.0.1:{free_port()}") as server, contextlib.ExitStack() as held:
        for _ in range(2):
            send(held.enter_context(server.connect()), GET % b"held")
        eventually(lambda: len(app.seen) == 2)
        assert ended_after(held.enter_context(server.connect())) < guard.HEAD_SECONDS / 2


UNFINISHED = {
    "sized": b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx",
    "chunked": CHUNKED,
    "behind another": GET % b"x" + CHUNKED,
}


@pytest.mark.parametrize("sent", UNFINISHED.values(), ids=UNFINISHED)
def test_requests_that_never_become_whole_keep_no_newcomer_out(sent: bytes) -> None:
    """Each is of an address of its own, so that none of them holds too many."""
    app = App()
    app.most = 4
    with Server(app, f"127.0.0.1:{free_port()}") as server, contextlib.ExitStack() as held:
        for host in range(2, 6):
            send(held.enter_context(server.connect(source=f"127.0.0.{host}")), sent)
        eventually(lambda: len(app.seen) == 4 * (1 + sent.startswith(b"GET")))
        newcomer = held.enter_context(server.connect())
        send(newcomer, GET % b"x")
        assert newcomer.recv(1000).endswith(b"done")


def test_an_admitted_body_makes_no_room_however_long_it_takes() -> None:
    app = App()
    app.most = 1
    with Server(app, f"127.0.0.1:{free_port()}") as server, server.connect() as wire:
        send(wire, CHUNKED.replace(b"/body", b"/admitted"))
        eventually(lambda: app.seen)
        with server.connect(source="127.0.0.2") as newcomer:
            assert read(newcomer) == b""
        send(wire, b"0\r\n\r\n")
        assert wire.recv(1000).endswith(b"done")


def test_addresses_that_hold_most_make_room_for_others_and_equals_do_not() -> None:
    app = App()
    app.most, app.each = 6, 3
    with Server(app, f"127.0.0.1:{free_port()}") as server, contextlib.ExitStack() as held:

        def served(source: str) -> socket.socket:
            wire = held.enter_context(server.connect(source=source))
            send(wire, GET % b"held")
            return wire

        greedy = [served(source) for source in ("127.0.0.2", "127.0.0.3") for _ in range(3)]
        eventually(lambda: len(app.seen) == 6)
        modest = [served("127.0.0.1") for _ in range(2)]
        eventually(lambda: len(app.seen) == 8)
        assert read(served("127.0.0.1")) == b"", "then another would hold fewer"
        app.released.set()
        assert all(wire.recv(1000).endswith(b"done") for wire in modest)
        assert sum(_answered(wire) for wire in greedy) == 4


def _answered(wire: socket.socket) -> bool:
    with contextlib.suppress(ConnectionError):
        return wire.recv(1000).endswith(b"done")
    return False


def test_a_client_that_resets_its_connection_leaves_no_trace(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    for path in (b"slow", b"big"):
        wire = server.connect()
        send(wire, GET % path * 5)
        if not server.address.startswith("unix:"):
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wire.close()
    time.sleep(1.5)
    written = [record for record in caplog.records if WithoutRequests().filter(record)]
    assert [record for record in written if record.levelname in {"ERROR", "CRITICAL"}] == []
