"""One real whole-head T1 volume for the demonstration and the tests, fetched through pip."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from deploy.local.settings import ROOT

SOURCE = "pydeface==2.1.0"
"""Its source archive (MIT) carries one session of OpenNeuro ds000031: a healthy adult, 192 x 256 x 256."""

SHA256 = "f3c0059e311788d6b8e196230af70584c618209068c25414b1bb83d7d051efe4"
MEMBER = "pydeface-2.1.0/tests/data/ds000031_sub-01_ses-006_run-001_T1w.nii.gz"


def sample_volume(folder: Path = ROOT / ".run" / "samples") -> Path:
    """Path of the volume; fetched, checked against its hash and unpacked at the first call."""
    target = folder / "ds000031_T1w.nii.gz"
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        archive = _download(Path(scratch))
        with tarfile.open(archive) as contents:
            member = contents.extractfile(MEMBER)
            if member is None:
                raise SystemExit(f"{archive.name} does not hold {MEMBER}")
            with tempfile.NamedTemporaryFile(dir=folder, delete=False) as part:  # others may fetch it at once
                part.write(member.read())
            Path(part.name).replace(target)
    return target


def _download(folder: Path) -> Path:
    wanted = folder / "requirements.txt"
    wanted.write_text(f"{SOURCE} --hash=sha256:{SHA256}\n")
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
        "--no-binary", "pydeface", "--require-hashes", "-r", str(wanted), "-d", str(folder),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise SystemExit(f"The sample volume could not be fetched: {done.stderr.strip().splitlines()[-1:]}")
    return next(folder.glob("pydeface-*.tar.gz"))
