"""What is done to the system, one function a fault; each runs until it is told that the work is over."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

from bench.chaos.disks import mounted, without_a_byte
from bench.chaos.parts import WORKERS
from bench.chaos.system import System
from contracts.states import Stage
from jobstore.wakeups import celery_app, wake


def kill_children(system: System, over: threading.Event) -> None:
    """SIGKILL a random worker child every 2 s."""
    while not over.wait(2):
        system.kill_child(*WORKERS)


def kill_workers(system: System, over: threading.Event) -> None:
    """SIGKILL a whole worker every 10 s, parent and children; it is started again."""
    while not over.wait(10):
        name = system.random.choice(WORKERS)
        system.kill(name)
        system.start(name)


def kill_redis(system: System, over: threading.Event) -> None:
    """SIGKILL Redis every few seconds, while clients submit and while workers work; back after one second."""
    for _ in range(4):
        if over.wait(3):
            return
        system.kill("redis")
        time.sleep(1)
        system.start("redis")


def reset_connections(system: System, over: threading.Event) -> None:
    """Redis drops every client connection, twenty times."""
    for _ in range(20):
        if over.wait(0.5):
            return
        with suppress(Exception):  # our own connection is among them
            system.redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def sick_model(system: System, over: threading.Event) -> None:
    """500s, 503s, a hang (SIGSTOP) and a SIGKILL of the model server."""
    for mode in ("500", "503"):
        if over.wait(2):
            return
        system.model_mode(mode)
        time.sleep(3)
        system.model_mode("ok")
    process = system.leader("model_server")
    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(6)
    os.kill(process.pid, signal.SIGCONT)
    time.sleep(2)
    system.kill("model_server")
    time.sleep(3)
    system.start("model_server")


def kill_gateway(system: System, over: threading.Event) -> None:
    """SIGKILL a process of the server every second while clients submit with idempotency keys."""
    while not over.wait(1):
        system.kill_child("gateway")


def double_everything(system: System, over: threading.Event) -> None:
    """Send twenty wake-ups too many a second, and stop children for longer than their lease."""
    celery = celery_app("bench", system.redis_url)
    while not over.wait(1):
        for stage in Stage:
            wake(celery, stage, 20)
        with suppress(psutil.Error, ProcessLookupError, IndexError):
            victim = system.random.choice(system.children("preprocess"))
            victim.suspend()
            threading.Timer(4, victim.resume).start()
    celery.close()


def scale_down_and_up(system: System, over: threading.Event) -> None:
    """Workers 4 -> 1 -> 4 under load, all by SIGTERM, as a rolling update or an autoscaler does."""
    while not over.wait(2):
        system.scale("preprocess_b", 0)
        system.scale("preprocess", 1)
        for name in ("infer", "deliver"):
            system.stop(name)
            system.start(name)
        over.wait(3)
        system.scale("preprocess", 2)
        system.scale("preprocess_b", 2)


def fill_blobs(system: System, over: threading.Event) -> None:
    """The disk of the blob store is full for 4 s: no false 202, no failed job."""
    if over.wait(2):
        return
    with _full(system):
        time.sleep(4)


@contextmanager
def _full(system: System) -> Iterator[None]:
    """A file system of the folder's own with no byte left (root), else a folder that cannot be written."""
    if system.blobs.is_mount():
        with without_a_byte(system.blobs):
            yield
        return
    aside = system.blobs.with_name("blobs.aside")
    system.blobs.rename(aside)
    system.blobs.write_text("in the way")
    yield
    system.blobs.unlink()
    aside.rename(system.blobs)


@contextmanager
def small_disk(system: System) -> Iterator[None]:
    """The blob store on a file system of its own where we may mount; where not, the folder as it is."""
    with mounted(system.blobs, 2000 if system.full else 300):  # a job leaves 1.4 MB
        yield


def fill_everything(system: System, over: threading.Event) -> None:
    """The disk of Redis, blobs, logs and state files without a free byte, twice: Redis ends itself."""
    folder = system.stack.settings.folder
    if not folder.is_mount():
        system.note = "left out: this user may not mount a small disk"
        return
    ended = 0
    for _ in range(2):
        if over.wait(3):
            break
        before = system.redis_started()
        with without_a_byte(folder):
            time.sleep(8)
        ended += before != system.redis_started(within=20)
    system.breaches["redis_never_full"] = int(not ended)
    system.note = f"Redis ended {ended} times on the full disk"


def starve_redis(system: System, over: threading.Event) -> None:
    """Redis at maxmemory for 4 s, twice: every write is refused."""
    for _ in range(2):
        if over.wait(2):
            return
        system.redis.config_set("maxmemory", 1 << 20)  # less than it holds
        time.sleep(4)
        system.redis.config_set("maxmemory", 0)


def same_name(system: System, over: threading.Event) -> None:
    """A living worker of another machine with this one's host name: nobody may take its jobs."""
    over.wait()
    log = system.stack.log("twin").read_text()
    taken = log.count("job.claimed")
    system.breaches["taken_from_the_living"] = log.count("claim.lost")
    system.breaches["twin_idle"] = int(not taken)
    system.note = f"{taken} jobs taken by the worker on the other machine"


def nothing(_: System, over: threading.Event) -> None:
    """The orders are fault enough."""
    over.wait()
