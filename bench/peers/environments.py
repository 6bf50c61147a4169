"""A virtual environment for each peer, made by pip on top of this one, so that torch stays the same build."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

from deploy.local.settings import ROOT

FOLDER = ROOT / ".run" / "peers"
REQUIREMENTS = {
    "litserve": "litserve==0.2.19 python-multipart==0.0.20",
    "bentoml": "bentoml==1.4.39",
    "ray": "ray[serve]==2.60.0",
}


def interpreter(name: str) -> Path:
    """Python of the peer's environment, made at the first call; this one where nothing more is needed."""
    if name not in REQUIREMENTS:
        return Path(sys.executable)
    home = FOLDER / name
    python, done = home / "bin" / "python", home / "installed"
    if not done.exists() or done.read_text() != REQUIREMENTS[name]:
        _call(sys.executable, "-m", "venv", str(home))
        shared = sysconfig.get_paths()["purelib"]
        (_packages(home) / "shared.pth").write_text(shared + "\n")
        _call(str(python), "-m", "pip", "install", "-q", "-c", str(_pins(home)), *REQUIREMENTS[name].split())
        done.write_text(REQUIREMENTS[name])
    return python


def _pins(home: Path) -> Path:
    """Our constraints, except for what a peer pins itself and the served functions never import."""
    lines = (ROOT / "constraints.txt").read_text().splitlines(keepends=True)
    ours = home / "constraints.txt"
    ours.write_text("".join(line for line in lines if not line.startswith("opentelemetry")))
    return ours


def _packages(home: Path) -> Path:
    return next((home / "lib").glob("python*")) / "site-packages"


def _call(*command: str) -> None:
    if subprocess.run(command, check=False).returncode:
        raise SystemExit(f"failed: {' '.join(command)}")
