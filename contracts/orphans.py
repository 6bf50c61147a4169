"""Claims of processes that died on this machine go back to the line at once, long before their lease ends."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import redis
from celery import signals

from contracts.connections import connect
from contracts.job import Claim
from contracts.line import LeaseLost, Line
from contracts.states import Stage

_log = logging.getLogger("hippocamp.orphans")

_LOOK_SECONDS = 1.0


def worker_name() -> str:
    """host/pid namespace/pid: who shares the first two parts can tell whether a process lives."""
    return f"{_here()}/{os.getpid()}"


def _here() -> str:
    try:
        namespace = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        namespace = 0
    return f"{socket.gethostname()}/{namespace}"


def _lives(pid: int) -> bool:
    """False for a zombie too; a pid that was given out again counts as alive, so the lease decides."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return not Path("/proc/self").exists()
    return state not in {"Z", "X"}


def release_orphans(line: Line, stage: Stage) -> list[str]:
    """Hand back what dead processes of this machine hold at the stage, their attempt counted; the ids."""
    released = []
    for record_id in cast("list[str]", line.redis.zrange(f"hc:lease:{stage}", 0, -1)):
        record = line.record(record_id)
        place, _, pid = record.get("worker", "").rpartition("/")
        if place != _here() or not pid.isdigit() or _lives(int(pid)):
            continue
        claim = Claim(record_id, stage, int(record["fence"]), record)
        with suppress(LeaseLost):
            line.release(claim, "worker died")
            released.append(record_id)
            _log.warning("claim.orphaned", extra={**claim.context, "pid": int(pid)})
    return released


def watch(redis_url: str, stages: Sequence[Stage]) -> None:
    """Have the parent of the Celery pool look for orphans of these stages every second, from its start on."""

    def look_forever() -> None:
        line, pause = Line(connect(redis_url, retries=0)), threading.Event()
        while not pause.wait(_LOOK_SECONDS):
            for stage in stages:
                with suppress(redis.RedisError):
                    release_orphans(line, stage)

    def start(**_: Any) -> None:
        threading.Thread(target=look_forever, name="orphans", daemon=True).start()

    signals.worker_ready.connect(start, weak=False)
