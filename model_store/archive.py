"""Packs the release folder and the handler into the one file that TorchServe loads.

Run as `python -m model_store.archive [--out model_store/build]`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from model_archiver.model_archiver_config import ModelArchiverConfig
from model_archiver.model_packaging import generate_model_archive

from model_store.digest import MANIFEST, RELEASE, model_digest
from model_store.handler import NETWORK

NAME = "hippocamp"
BUILD = Path(__file__).with_name("build")
ACCELERATED = Path(__file__).with_name("accelerated.py")
SERVING = Path(__file__).with_name("serving.yaml")


def build_archive(out: Path = BUILD, release: Path = RELEASE) -> Path:
    """Write `out`/hippocamp.mar from a release whose files match its manifest; returns its path.

    The archive holds the manifest, so the served model reports the release's digest whatever the zip's time
    stamps are. Errors: BrokenReleaseError when a file is missing or changed.
    """
    digest = model_digest(release)
    out.mkdir(parents=True, exist_ok=True)
    files = json.loads((release / MANIFEST).read_text())["files"]
    extra = [MANIFEST, *(name for name in files if name != NETWORK)]
    generate_model_archive(
        ModelArchiverConfig(
            model_name=NAME,
            version=digest[:12],
            serialized_file=str(release / NETWORK),
            handler=str(Path(__file__).with_name("handler.py")),
            config_file=str(SERVING),
            extra_files=",".join([*(str(release / name) for name in extra), str(ACCELERATED)]),
            export_path=str(out),
            force=True,
        )
    )
    return out / f"{NAME}.mar"


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=BUILD)
    parser.add_argument("--release", type=Path, default=RELEASE)
    chosen = parser.parse_args()
    path = build_archive(chosen.out, chosen.release)
    sys.stdout.write(f"{path} {model_digest(chosen.release)}\n")


if __name__ == "__main__":
    main()
