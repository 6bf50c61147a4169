"""The faults, one function each; while it runs, clients submit and the ledger keeps the books."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import psutil

from bench.chaos.system import System
from contracts.states import Stage
from contracts.wakeups import celery_app, wake

Fault = Callable[[System, threading.Event], None]


@dataclass(frozen=True)
class Experiment:
    """jobs: how many; work: orders of an ordinary one; doomed: orders mixed in, which must end as failed."""

    name: str
    fault: Fault
    jobs: int = 120
    work: str = "sleep 0.4"
    doomed: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()


def kill_children(system: System, over: threading.Event) -> None:
    """SIGKILL a random preprocessing child every 2 s."""
    while not over.wait(2):
        system.kill_child("preprocess")


def kill_workers(system: System, over: threading.Event) -> None:
    """SIGKILL the whole preprocess worker, then the infer worker, every 10 s; both are restarted."""
    while not over.wait(10):
        for name in ("preprocess", "infer"):
            system.kill(name)
            system.start(name)


def kill_redis(system: System, over: threading.Event) -> None:
    """SIGKILL Redis every 5 s and start it again on its append-only file."""
    for _ in range(3):
        if over.wait(4):
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
    """SIGKILL a gunicorn worker every second while clients submit with idempotency keys."""
    while not over.wait(1):
        system.kill_child("gateway")


def double_everything(system: System, over: threading.Event) -> None:
    """Send three wake-ups for one, and stop children for longer than their lease while they hold jobs."""
    app = celery_app("chaos", system.stack.settings.environment()["HIPPOCAMP_REDIS_URL"])
    while not over.wait(1):
        for stage in Stage:
            wake(app, stage, 20)
        with suppress(psutil.Error, IndexError):
            victim = system.random.choice(system.children("preprocess"))
            victim.suspend()
            threading.Timer(4, victim.resume).start()
    app.close()


def roll(system: System, over: threading.Event) -> None:
    """Stop the workers with SIGTERM and start them again, as a rolling update does."""
    while not over.wait(4):
        for name in ("preprocess", "infer", "deliver"):
            system.stop(name)
            system.start(name)


def fill_blobs(system: System, over: threading.Event) -> None:
    """The folder of blobs cannot be written for a while: no false 202, no failed job."""
    folder = system.stack.settings.folder / "blobs"
    if over.wait(2):
        return
    aside = folder.with_name("blobs.aside")
    folder.rename(aside)
    folder.write_text("in the way")
    time.sleep(4)
    folder.unlink()
    aside.rename(folder)


def nothing(_: System, over: threading.Event) -> None:
    """Poison is fault enough."""
    over.wait(0)


SHORT_LEASE = (("HIPPOCAMP_LEASE_SECONDS", "3"),)

ALL = [
    Experiment("children", kill_children),
    Experiment("workers", kill_workers, jobs=200, work="sleep 0.6"),
    Experiment("redis", kill_redis),
    Experiment("resets", reset_connections),
    Experiment("model server", sick_model, work="sleep 0.1"),
    Experiment("poison", nothing, doomed=("crash", "hang", "hog"), environment=SHORT_LEASE),
    Experiment("gateway", kill_gateway, work="sleep 0.05"),
    Experiment("doubles", double_everything, environment=SHORT_LEASE),
    Experiment("rolling", roll),
    Experiment("disk", fill_blobs),
]
