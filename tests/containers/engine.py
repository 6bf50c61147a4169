"""The container engine as the test drives it: podman with podman-compose, or docker with its compose."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
IMAGES = {
    "gateway": "gateway/Dockerfile",
    "exporter": "deploy/exporter/Dockerfile",
    "workers": "workers/Dockerfile",
    "preprocessing": "preprocessing_service/Dockerfile",
    "model-server": "model_store/Dockerfile",
}


class Failed(SystemExit):
    """A step did not do what it must; the message says which and why."""


@dataclass(frozen=True)
class Engine:
    """Commands of one engine; `project` keeps this run apart from any other on the machine."""

    project: str
    environment: dict[str, str]
    name: str = field(default_factory=lambda: "podman" if shutil.which("podman") else "docker")

    def run(self, *arguments: str, check: bool = True, seconds: float = 900) -> str:
        """`podman ...`; what it printed. Failed when it ends with an error and `check` is set."""
        return self._call([self.name, *arguments], check=check, seconds=seconds)

    def fails(self, *arguments: str) -> bool:
        """Whether `podman ...` ends with an error."""
        done = subprocess.run([self.name, *arguments], capture_output=True, check=False, timeout=120)
        return done.returncode != 0

    def compose(self, *arguments: str, check: bool = True) -> str:
        """`podman-compose -p project ...`."""
        tool = os.environ.get("HIPPOCAMP_COMPOSE") or (
            f"{Path(sys.executable).parent}/podman-compose" if self.name == "podman" else "docker compose"
        )
        return self._call([*shlex.split(tool), "-p", self.project, *arguments], check=check, seconds=300)

    def build(self, image: str) -> None:
        """Build one image the way docs/how-to/run-under-compose.md says."""
        options = ["--format", "docker", "--isolation", "chroot"] if self.name == "podman" else []
        if wheels := os.environ.get("HIPPOCAMP_WHEELS"):
            options += ["-v", f"{wheels}:/wheels:ro", "--build-arg", "PIP_FIND_LINKS=/wheels"]
        if registry := os.environ.get("NPM_CONFIG_REGISTRY"):
            options += ["--build-arg", f"NPM_CONFIG_REGISTRY={registry}"]
        options += ["--network", "host", "-q", "-t", f"hippocamp-{image}", "-f", IMAGES[image], "."]
        self.run("build", *options, seconds=1800)

    def containers(self, service: str) -> list[str]:
        """Names of the running containers of a service."""
        label = f"label=com.docker.compose.service={service}"
        ours = f"label=com.docker.compose.project={self.project}"
        return self.run("ps", "--filter", label, "--filter", ours, "--format", "{{.Names}}").split()

    def down(self) -> None:
        """Remove all containers and volumes of the project; compose forgets those it was scaled up to."""
        left = self.run("ps", "-aq", "--filter", f"label=com.docker.compose.project={self.project}").split()
        if left:
            self.run("rm", "-f", *left, check=False)
        self.compose("down", "-v", check=False)

    def _call(self, command: list[str], *, check: bool, seconds: float) -> str:
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **self.environment}, capture_output=True, text=True,
            check=False, timeout=seconds,
        )  # fmt: skip
        if check and done.returncode:
            last = "\n".join((done.stderr or done.stdout).strip().splitlines()[-15:])
            raise Failed(f"{shlex.join(command[:6])} ... ended with {done.returncode}:\n{last}")
        return done.stdout.strip()
