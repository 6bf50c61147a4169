"""A system of its own for each experiment: its disk, its network, its replica."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench.chaos.disks import mounted
from bench.chaos.parts import LINK_PORT, SERVICES, replica
from bench.chaos.relay import Relay
from bench.chaos.small_model import DIGEST as SMALL_MODEL
from bench.chaos.system import System
from deploy.local.services import Make
from deploy.local.settings import LocalSettings
from deploy.local.supervisor import LocalSystem


@dataclass(frozen=True)
class Surroundings:
    """What is special about the system of one experiment.

    network: a relay stands between all services and Redis. replica: Redis has one, and each 202 waits for it.
    small_disk: megabytes of a file system of its own for the whole system, 0: none.
    more: services beside the usual.
    """

    fsync: str = "always"
    network: bool = False
    replica: bool = False
    small_disk: int = 0
    more: tuple[Make, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()


@contextmanager
def system(seed: int, about: Surroundings, *, full: bool, logs: Path | None = None) -> Iterator[System]:
    """A fresh system in a temporary folder; everything but a copy of its logs is gone afterwards."""
    with ExitStack() as open_:
        folder = Path(open_.enter_context(tempfile.TemporaryDirectory(prefix="hippocamp-chaos-")))
        if about.small_disk:
            open_.enter_context(mounted(folder, about.small_disk))
        local = LocalSettings(preprocess_processes=2, infer_processes=1, redis_fsync=about.fsync)
        local = local.beside(folder, **_COMMON, **dict(about.environment))
        relays = _networks(local, about, open_)
        stack = LocalSystem(replace(local, extra=local.extra | relays.environment), relays.services)
        stack.up()
        open_.callback(_put_away, stack, logs)
        running = System(stack, seed, full=full)
        open_.callback(running.close)
        relays.hand_to(running)
        yield running


_COMMON = {
    "HIPPOCAMP_WEBHOOK_ALLOW": "127.0.0.0/8",
    "HIPPOCAMP_PREPROCESS_SECONDS": "8",
    "HIPPOCAMP_PREPROCESS_MEMORY_BYTES": str(1 << 30),
    "HIPPOCAMP_MODEL_TIMEOUT_SECONDS": "3",
    "HIPPOCAMP_CANARY_SECONDS": "5",
    "HIPPOCAMP_MODELS": SMALL_MODEL,
    "OMP_NUM_THREADS": "1",
}


def _put_away(stack: LocalSystem, logs: Path | None) -> None:
    stack.down()
    if logs:
        shutil.copytree(stack.settings.folder / "logs", logs, dirs_exist_ok=True)


@dataclass(frozen=True)
class _Networks:
    """The relays of one system, and what its services have to know of them."""

    relay: Relay | None
    link: Relay | None
    environment: dict[str, str]
    services: list[Make]

    def hand_to(self, running: System) -> None:
        if self.relay:
            running.relay = self.relay
        if self.link:
            running.link = self.link
            running.follow()


def _networks(local: LocalSettings, about: Surroundings, open_: ExitStack) -> _Networks:
    port, environment = local.ports.redis, {}
    relay = link = None
    chosen = [*SERVICES, *about.more]
    if about.network:
        relay = open_.enter_context(Relay(port))
        environment["HIPPOCAMP_REDIS_URL"] = relay.url
    if about.replica:
        link = open_.enter_context(Relay(port))
        environment |= {LINK_PORT: str(link.port), "HIPPOCAMP_REDIS_REPLICAS": "1"}
        chosen.insert(1, replica)
    return _Networks(relay, link, environment, chosen)
