"""Which models may answer: those of the release's manifest, and those that the operator names."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

from runtime.settings import SettingError, env_text

_SHIPPED = Path(__file__).resolve().parents[1] / "model_store" / "release" / "current" / "manifest.json"


def release_digest(files: Mapping[str, str]) -> str:
    """What a release is called: SHA-256 over the sorted `name digest` lines of its files, hex."""
    lines = "".join(f"{name} {digest}\n" for name, digest in sorted(files.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def digest_in(release: Path) -> str:
    """What the release in this folder says it is called; SettingError when it holds no manifest."""
    found = _of(release / "manifest.json")
    if not found:
        raise SettingError(f"{release} holds no manifest.json: it is no release of a model")
    return next(iter(found))


def known_models() -> frozenset[str]:
    """Digests by HIPPOCAMP_MODEL_MANIFEST (default: the release beside us) and HIPPOCAMP_MODELS, digests
    with commas between them; SettingError when one makes no sense or there is none."""
    named = [part.strip() for part in env_text("MODELS", "").split(",") if part.strip()]
    if wrong := [digest for digest in named if not re.fullmatch("[0-9a-f]{64}", digest)]:
        raise SettingError(f"HIPPOCAMP_MODELS={wrong[0]!r}: a digest has 64 hexadecimal digits")
    manifest = Path(env_text("MODEL_MANIFEST", str(_SHIPPED)))
    known = frozenset(named) | _of(manifest)
    if not known:
        raise SettingError(f"No model is known: {manifest} is not there, and HIPPOCAMP_MODELS is empty")
    return known


def _of(manifest: Path) -> frozenset[str]:
    try:
        return frozenset({release_digest(json.loads(manifest.read_text())["files"])})
    except FileNotFoundError:
        return frozenset()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SettingError(f"HIPPOCAMP_MODEL_MANIFEST={manifest} is no release's manifest: {error}") from None
