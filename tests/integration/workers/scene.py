"""A small hospital: a site that submits files, and a pipeline that reads what to do from them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import numpy as np

from contracts.errors import NotAHead
from contracts.job import Submission, new_job_id
from contracts.stack import Stack
from jobstore.store import JobStore
from runtime.blobs import BlobStore, input_path
from tests.support.waiting import eventually as eventually

PIPELINE = "cd" * 32
SHEET = b"a quality sheet"


def ignore(_: object) -> None:
    """Nobody listens."""


def wait_for(gate: Path) -> None:
    """Return once it exists."""
    while not gate.exists():
        time.sleep(0.02)


def end_badly(how: str) -> NoReturn:
    """By a bug, or with the process."""
    if how == "broken":
        raise ZeroDivisionError("a bug")
    os.kill(os.getpid(), 9)
    raise AssertionError("it lives")


def fake_prepare(
    path: Path,
    *,
    scratch: Path | None,
    on_step: Callable[[str], None] | None,
    on_sheet: Callable[[bytes], None] | None,
) -> Stack:
    """Obeys the file: "level 7", "sleep 2", "hold <path>", "not a head", "broken", "die"; a line each.

    "hold" works until that path exists, so that a test finds it at work however slow the machine is.
    """
    level = 1
    show, tell = on_sheet or ignore, on_step or ignore
    show(SHEET)
    for order in path.read_text().splitlines():
        tell(order)
        match order.split():
            case ["level", number]:
                level = int(number)
            case ["sleep", seconds]:
                time.sleep(float(seconds))
            case ["hold", gate]:
                wait_for(Path(gate))
            case ["not", "a", "head"]:
                raise NotAHead("brain of 3 mL", volume_ml=3)
            case ["broken" | "die" as how]:
                end_badly(how)
    slices = np.full((32, 208, 176), level, np.uint8)
    return Stack(slices, np.eye(4), (256, 256, 256), np.eye(4), {"volume_ml": 1400.0}, {"strip": 0.01})


def submit(
    job_store: JobStore, blobs: BlobStore, orders: str, *, site: str = "a", content: str = "", **said: str
) -> str:
    """Upload the orders and put the job in line; its id."""
    job_id = new_job_id()
    received = blobs.receive(input_path(site, job_id), [orders.encode()])
    job_store.submit(
        Submission(
            id=job_id, site=site, content_digest=content or job_id[4:], input_blob=received.path,
            size_bytes=received.size_bytes, media="nifti", **said,
        )
    )  # fmt: skip
    return job_id
