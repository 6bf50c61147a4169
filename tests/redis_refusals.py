"""Ways to make a real Redis refuse, one for each kind of refusal; each ends with its `with` block."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import redis

from jobstore import keys
from tests.redis_servers import Server
from tests.support.waiting import MOST_WAIT_SECONDS

Refusal = Callable[[Server], AbstractContextManager[None]]

_SERVICE = ("--user", "service", "on", ">secret", "~*", "+@all")
OPTIONS = ("--save", "", "--lua-time-limit", "50", "--rdbcompression", "no", *_SERVICE)
"""A script that runs for longer than 50 ms is a busy Redis."""


def _admin(server: Server) -> redis.Redis:
    return redis.Redis.from_url(server.url, decode_responses=True)


def _set(server: Server, name: str, value: str) -> None:
    _admin(server).config_set(name, value)


@contextmanager
def full(server: Server) -> Iterator[None]:
    """OOM: it uses more memory than it may."""
    _set(server, "maxmemory", "1")
    yield
    _set(server, "maxmemory", "0")


@contextmanager
def unsaved(server: Server) -> Iterator[None]:
    """MISCONF: its last snapshot failed, because its folder is gone."""
    folder, client = server.folder / "gone", _admin(server)
    folder.mkdir()
    _set(server, "dir", str(folder))
    shutil.rmtree(folder)
    client.set("changed", 1)
    _set(server, "save", "3600 1")
    client.bgsave()
    _until(lambda: cast("Any", client.info("persistence"))["rdb_last_bgsave_status"] == "err")
    yield
    _set(server, "save", "")
    _set(server, "dir", str(server.folder))


@contextmanager
def replica(server: Server) -> Iterator[None]:
    """READONLY: it follows a master that nobody can reach."""
    _admin(server).replicaof("127.0.0.1", "1")  # type: ignore[no-untyped-call]
    yield
    _admin(server).replicaof("no", "one")  # type: ignore[no-untyped-call]


@contextmanager
def stale_replica(server: Server) -> Iterator[None]:
    """MASTERDOWN: a replica that may not tell what it last knew."""
    _set(server, "replica-serve-stale-data", "no")
    with replica(server):
        yield
    _set(server, "replica-serve-stale-data", "yes")


@contextmanager
def alone(server: Server) -> Iterator[None]:
    """NOREPLICAS: it may write only while a replica follows."""
    _set(server, "min-replicas-to-write", "1")
    yield
    _set(server, "min-replicas-to-write", "0")


@contextmanager
def busy(server: Server) -> Iterator[None]:
    """BUSY: a script that never ends."""

    def hold() -> None:
        with suppress(redis.ResponseError):  # killed below
            _admin(server).eval("while true do end", 0)

    thread = threading.Thread(target=hold)
    thread.start()
    _until(lambda: _refuses(server, "BUSY"))
    yield
    _admin(server).script_kill()
    thread.join()


@contextmanager
def loading(server: Server) -> Iterator[None]:
    """LOADING: it starts again, on a snapshot that it reads for a quarter of a minute."""
    client = _admin(server)
    client.execute_command("DEBUG POPULATE 40 filler 2200000")  # it looks at its callers every 2 MB
    client.save()
    server.kill()
    slow = Server(server.folder, (*server.options, "--key-load-delay", "400000"), port=server.port).start()
    try:
        yield
    finally:
        slow.kill()
        server.start()
    _until(lambda: not _refuses(server, "loading"))


@contextmanager
def forbidden(server: Server) -> Iterator[None]:
    """NOPERM: the services' user may no longer write."""
    _admin(server).execute_command("ACL", "SETUSER", "service", "-@write")
    yield
    _admin(server).execute_command("ACL", "SETUSER", "service", "+@write")


@contextmanager
def unknown_user(server: Server) -> Iterator[None]:
    """WRONGPASS: the password of the services' user was changed."""
    _admin(server).execute_command("ACL", "SETUSER", "service", "resetpass", ">another")
    _admin(server).client_kill_filter(user="service")
    yield
    _admin(server).execute_command("ACL", "SETUSER", "service", "resetpass", ">secret")


@contextmanager
def broken_script(server: Server) -> Iterator[None]:
    """A key holds what no script expects, so every script that meets it breaks."""
    client = _admin(server)
    client.set(keys.DEPTH, "no hash")
    client.set(keys.rate("north"), "no hash")
    yield
    client.delete(keys.DEPTH, keys.rate("north"))


@contextmanager
def away(server: Server) -> Iterator[None]:
    """Nobody listens."""
    _admin(server).save()
    server.kill()
    yield
    server.start()


REFUSALS: Mapping[str, Refusal] = {
    "full": full, "unsaved": unsaved, "replica": replica, "stale replica": stale_replica, "alone": alone,
    "busy": busy, "loading": loading, "forbidden": forbidden, "unknown user": unknown_user,
    "broken script": broken_script, "away": away,
}  # fmt: skip


def new_server(folder: Path) -> Server:
    """One with a user `service`, who may do everything until a refusal takes it away."""
    return Server(folder, OPTIONS).start()


def service_url(server: Server) -> str:
    """The server's address as the services' user knows it."""
    return f"redis://service:secret@127.0.0.1:{server.port}/0"


def _refuses(server: Server, word: str) -> bool:
    try:
        _admin(server).get("x")
    except redis.RedisError as error:
        return word in str(error)
    return False


def _until(holds: Callable[[], bool], seconds: float = MOST_WAIT_SECONDS) -> None:
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, "Redis does not do what the test needs"
        time.sleep(0.02)
