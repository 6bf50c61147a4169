"""Packs the release folder and what runs in TorchServe into the one file that it loads.

Run as `python -m model_store.release.archive [--out model_store/build]`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from model_store.release.digest import MANIFEST, RELEASE, file_digest, model_digest

NAME = "hippocamp"
HANDLER = "served.handler:handle"
BUILD = Path(__file__).parents[1] / "build"
SERVED = Path(__file__).parents[1] / "served"
_NEVER = "01/01/1980 00:00:00"
SERVING = Path(__file__).parents[1] / "serving.yaml"


def build_archive(
    out: Path = BUILD, release: Path = RELEASE, serving: Path = SERVING, *, versioned: bool = False
) -> Path:
    """Write `out`/hippocamp.mar from a release whose files match its manifest; returns its path.

    serving: how TorchServe is to run it: workers, batch size, threads. versioned: the file is called after
    the digest, so that several lie side by side.
    The archive holds the manifest, so the served model reports the release's digest; its own SHA-256 lies
    beside it, for `sha256sum -c`. Errors: BrokenReleaseError when a file is missing or changed.
    """
    digest = model_digest(release)
    files = [MANIFEST, *json.loads((release / MANIFEST).read_text())["files"]]
    code = {f"{SERVED.name}/{source.name}": source for source in sorted(SERVED.glob("*.py"))}
    files_and_code = {name: release / name for name in files} | code | {SERVING.name: serving}
    path = out / (f"{NAME}-{digest[:12]}.mar" if versioned else f"{NAME}.mar")
    pack(path, files_and_code, handler=HANDLER, version=digest[:12])
    path.with_name(f"{path.name}.sha256").write_text(f"{file_digest(path)}  {path.name}\n")
    return path


def pack(path: Path, files: dict[str, Path], *, handler: str, version: str) -> None:
    """Write the archive: files by their names in it, serving.yaml, and TorchServe's own manifest.

    Time stamps and compression are left out, so the same files give the same bytes and one SHA-256.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    model = {"modelName": NAME, "modelVersion": version, "handler": handler, "configFile": SERVING.name}
    about = {"runtime": "python", "model": model, "archiverVersion": "0.12.0", "createdOn": _NEVER}
    unfinished = path.with_suffix(".part")
    with ZipFile(unfinished, "w", ZIP_STORED) as archive:
        for name, source in sorted(({SERVING.name: SERVING} | files).items()):
            archive.writestr(ZipInfo(name), source.read_bytes())
        archive.writestr(ZipInfo("MAR-INF/MANIFEST.json"), json.dumps(about, sort_keys=True))
    unfinished.replace(path)


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=BUILD)
    parser.add_argument("--release", type=Path, default=RELEASE)
    parser.add_argument("--serving", type=Path, default=SERVING, help="workers, batch size, threads (YAML)")
    parser.add_argument("--versioned", action="store_true", help="call the file after the release's digest")
    chosen = parser.parse_args()
    path = build_archive(chosen.out, chosen.release, chosen.serving, versioned=chosen.versioned)
    sys.stdout.write(f"{path} {model_digest(chosen.release)} sha256:{file_digest(path)}\n")


if __name__ == "__main__":
    main()
