"""What a release is called: one SHA-256 over the digests of the files that decide its answers."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

from runtime.known_models import release_digest

RELEASE = Path(__file__).with_name("current")
MANIFEST = "manifest.json"


class BrokenReleaseError(Exception):
    """A file of the release is missing or is not the one its manifest names."""


def file_digest(path: Path) -> str:
    """SHA-256 of the file's bytes, hex."""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def model_digest(release: Path = RELEASE) -> str:
    """The release's digest, after checking every file against the manifest. Errors: BrokenReleaseError."""
    try:
        manifest = json.loads((release / MANIFEST).read_text())
    except FileNotFoundError as error:
        raise BrokenReleaseError(f"{release} holds no {MANIFEST}") from error
    for name, wanted in manifest["files"].items():
        path = release / name
        if not path.is_file():
            raise BrokenReleaseError(f"{path} is missing")
        if (got := file_digest(path)) != wanted:
            raise BrokenReleaseError(f"{path} has digest {got[:12]}, the manifest says {wanted[:12]}")
    return release_digest(manifest["files"])


if __name__ == "__main__":
    sys.stdout.write(model_digest() + "\n")
