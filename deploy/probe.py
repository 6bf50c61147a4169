"""`python -m deploy.probe URL [--canary]`: a health check that needs no curl; exit status 0 means healthy.

--canary posts one blank volume to a model server, because its /ping stays well while its workers are dead;
HIPPOCAMP_MODEL_TOKEN_FILE names the file with the token that it may ask for.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

_STACK = (1, 32, 208, 176)
"""(volumes, slices, height, width) of contracts.stack."""


def probe(url: str, *, golden: bool, seconds: float) -> str:
    """ "" when the answer is 200, else what is wrong."""
    if not url.startswith("http://"):
        return f"{url} is no http:// address"
    # Without a type urllib calls the body a form, and TorchServe then reads it as one.
    headers = {"Content-Type": "application/octet-stream", **_token()} if golden else {}
    body = _blank() if golden else None
    request = urllib.request.Request(url, data=body, headers=headers)  # noqa: S310  checked above
    try:
        with urllib.request.urlopen(request, timeout=seconds) as answer:  # noqa: S310
            return "" if answer.status == 200 else f"{url} answered {answer.status}"
    except (urllib.error.URLError, OSError) as error:
        return f"{url}: {error}"


def _token() -> dict[str, str]:
    path = os.environ.get("HIPPOCAMP_MODEL_TOKEN_FILE", "")
    if not path:
        return {}
    return {"Authorization": f"Bearer {json.loads(Path(path).read_text())['inference']['key']}"}


def _blank() -> bytes:
    import numpy as np

    out = io.BytesIO()
    np.savez(out, slices=np.zeros(_STACK, np.uint8))
    return out.getvalue()


def main() -> None:
    """Parse the command line, say what is wrong on stderr."""
    parser = argparse.ArgumentParser(prog="deploy.probe", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--canary", action="store_true")
    parser.add_argument("--seconds", type=float, default=5)
    chosen = parser.parse_args()
    wrong = probe(chosen.url, golden=chosen.golden, seconds=chosen.seconds)
    if wrong:
        sys.stderr.write(f"{wrong}\n")
        raise SystemExit(1)


if __name__ == "__main__":
    main()
