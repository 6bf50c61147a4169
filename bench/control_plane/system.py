"""The local system with empty stages: every process is real, only pixels are not looked at."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import redis

from bench import scans
from bench.site import Mode, hospital
from bench.waiting import until
from deploy.local import services
from deploy.local.services import Make, Service
from deploy.local.settings import ROOT, LocalSettings
from deploy.local.supervisor import LocalSystem
from jobstore import keys
from model_store.release.archive import NAME, pack
from runtime.redis_connections import connect

HANDLER = Path(__file__).with_name("nothing_handler.py")


def preprocess(settings: LocalSettings) -> Service:
    """The consumer whose steps do nothing."""
    real = services.preprocess(settings)
    command = [
        part.replace("preprocessing_service.consumer", f"{__package__}.consumer") for part in real.command
    ]
    return replace(real, command=command)


def model_server(settings: LocalSettings) -> Service:
    """TorchServe with the handler that computes nothing."""
    real = services.model_server(settings)
    store = settings.folder / "model_server" / "store"
    pack(store / f"{NAME}.mar", {HANDLER.name: HANDLER}, handler=HANDLER.name, version="0")
    return replace(real, environment={**real.environment, "PYTHONPATH": str(ROOT)})


SERVICES = [
    services.redis, model_server, services.gateway, preprocess, services.infer, services.deliver,
    services.maintain, services.beat, services.exporter,
]  # fmt: skip


ENOUGH = hospital(requests_per_second=100_000, most_waiting=1_000_000)
"""A load generator stands for many sites; each request is still counted, and each upload weighed."""


class System:
    """A running system: its processes, its Redis, its address, the headers of the site that sends."""

    def __init__(self, stack: LocalSystem, mode: Mode = ENOUGH) -> None:
        self.stack, self.mode = stack, mode
        self.url, self.headers = stack.settings.gateway_url, mode.enter(stack.settings).headers
        self.folder = stack.settings.folder
        self.redis: redis.Redis = connect(
            stack.settings.environment()["HIPPOCAMP_REDIS_URL"], timeout_seconds=60
        )

    def ended(self) -> int:
        """Jobs that have succeeded since the start."""
        totals = self.redis.hgetall(keys.TOTALS)
        return sum(int(n) for event, n in totals.items() if event.startswith("ended:succeeded:"))

    def take_scans(self) -> None:
        """One real scan as NIfTI and one as DICOM, so that no figure is of a system that refuses them."""
        begun, headers = self.ended(), {**self.headers, "Content-Type": "application/octet-stream"}
        for number, write in enumerate((scans.nifti, scans.dicom), start=1):
            body = write(self.folder / "scan", number).read_bytes()
            answer = httpx.post(
                f"{self.url}/v1/jobs", content=body, headers=headers, timeout=60, trust_env=False
            )
            if answer.status_code != httpx.codes.ACCEPTED:
                raise SystemExit(f"a real scan ({write.__name__}) is not taken: {answer.text}")
            until(lambda wanted=begun + number: self.ended() >= wanted, "a real scan to succeed")


@contextmanager
def system(
    settings: LocalSettings | None = None,
    services: Sequence[Make] = SERVICES,
    *,
    mode: Mode = ENOUGH,
    **extra: str,
) -> Iterator[System]:
    """A fresh system in a temporary folder, gone afterwards; `extra` goes into its environment."""
    with tempfile.TemporaryDirectory(prefix="hippocamp-bench-") as folder:
        stack = LocalSystem((settings or LocalSettings()).beside(Path(folder), **extra), services)
        stack.up()
        try:
            running = System(stack, mode)
            running.take_scans()
            yield running
        finally:
            stack.down()
