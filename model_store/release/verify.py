"""Looks into an archive before anybody serves it: `python -m model_store.release.verify hippocamp.mar`.

What a server says of itself is only as good as the code in its archive; this reads the archive from outside.
"""

from __future__ import annotations

import hashlib
import json
import sys
import zipfile
from pathlib import Path

from model_store.release.archive import HANDLER, SERVED
from model_store.release.digest import MANIFEST, BrokenReleaseError, file_digest
from runtime.known_models import known_models, release_digest

OURS = "serving.yaml", "MAR-INF/MANIFEST.json"
"""What may differ between archives of one model: how TorchServe is to run it."""


def verify(archive: Path) -> str:
    """The digest of the release in an archive that holds it whole, our code, and nothing else.

    Errors: BrokenReleaseError.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            if len(set(opened.namelist())) < len(opened.namelist()):
                raise BrokenReleaseError(f"{archive} holds a name twice: who unpacks it decides which counts")
            handler = json.loads(opened.read("MAR-INF/MANIFEST.json"))["model"]["handler"]
            found = {name: hashlib.sha256(opened.read(name)).hexdigest() for name in opened.namelist()}
            files: dict[str, str] = json.loads(opened.read(MANIFEST))["files"]
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError) as error:
        raise BrokenReleaseError(f"{archive} is no archive of a release: {error}") from None
    if handler != HANDLER:
        raise BrokenReleaseError(f"{archive} is handled by {handler}, not by {HANDLER}")
    code = {f"{SERVED.name}/{source.name}": file_digest(source) for source in SERVED.glob("*.py")}
    wanted = {**files, **code}
    for name in sorted(wanted.keys() | found.keys() - {MANIFEST, *OURS}):
        if found.get(name) != wanted.get(name):
            how = "missing" if name not in found else "not ours" if name not in wanted else "changed"
            raise BrokenReleaseError(f"{archive}: {name} is {how}")
    return release_digest(files)


def main() -> None:
    """Status 1 for an archive that is not whole, or whose model is not known here."""
    if len(sys.argv) != 2:
        raise SystemExit("one archive is wanted: python -m model_store.release.verify hippocamp.mar")
    archive = Path(sys.argv[1])
    try:
        digest = verify(archive)
    except (BrokenReleaseError, OSError) as error:
        raise SystemExit(str(error)) from None
    sys.stdout.write(f"model {digest}\narchive sha256:{file_digest(archive)}\n")
    if digest not in known_models():
        raise SystemExit("This model is not known here: HIPPOCAMP_MODELS names those that are")


if __name__ == "__main__":
    main()
