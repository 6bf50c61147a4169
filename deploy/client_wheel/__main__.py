"""`python -m deploy.client_wheel [FOLDER]`: writes hippocamp_mri_client-<version>-py3-none-any.whl there."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BESIDE = ("contracts/__init__.py", "contracts/series_words.py")
"""What the client needs of the shared packages: the words that may stay of a file's name."""


def build(out: Path) -> Path:
    """The wheel's path; CalledProcessError when it cannot be built."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder)
        shutil.copytree(ROOT / "client", source / "client", ignore=shutil.ignore_patterns("__pycache__"))
        for name in BESIDE:
            (source / name).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, source / name)
        shutil.copy(Path(__file__).with_name("pyproject.toml"), source)
        command = [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
        ]
        subprocess.run([*command, "--wheel-dir", str(out), str(source)], check=True)  # noqa: S603
    return max(out.glob("hippocamp_mri_client-*.whl"), key=lambda file: file.stat().st_mtime)


if __name__ == "__main__":
    sys.stdout.write(f"{build(Path(*sys.argv[1:2]) if sys.argv[1:] else ROOT / 'dist')}\n")
