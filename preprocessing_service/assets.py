"""Where weights and template lie (inside installed packages), and the folder for what is computed of them."""

from __future__ import annotations

import hashlib
import os
from functools import cache
from importlib import metadata, resources
from pathlib import Path

CACHE_VARIABLE = "HIPPOCAMP_CACHE"
TEMPLATE_FILES = {
    "t1": "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz",
    "gm": "mni_icbm152_gm_tal_nlin_sym_09a_converted.nii.gz",
    "wm": "mni_icbm152_wm_tal_nlin_sym_09a_converted.nii.gz",
}
"""MNI ICBM152 2009a nonlinear symmetric, 1 mm (Fonov et al. 2011, NeuroImage 54:313), as nilearn ships it."""

NETWORK_FILES = {"coarse": "bbox_model.pt", "fine": "model.pt"}
"""deepbet's two networks (Fisch et al. 2024, Comput Biol Med 179:108845), as its wheel ships them."""


def cache_folder() -> Path:
    """Where template structures and compiled kernels are kept; HIPPOCAMP_CACHE, else ~/.cache/hippocamp."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen) if chosen else Path.home() / ".cache" / "hippocamp"


def network_file(name: str) -> Path:
    """Path of `coarse` or `fine`; FileNotFoundError says what to install."""
    wanted = f"data/models/{NETWORK_FILES[name]}"
    for file in metadata.files("deepbet") or []:
        if file.as_posix() == wanted:
            return Path(str(file.locate()))
    raise FileNotFoundError(f"{wanted} is not in the installed deepbet; pip install deepbet==1.0.2")


def template_file(name: str) -> Path:
    """Path of the template's `t1`, `gm` or `wm` image."""
    return Path(str(resources.files("nilearn") / "datasets" / "data" / TEMPLATE_FILES[name]))


@cache
def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def assets_digest() -> str:
    """SHA-256 over the digests of weights and template images."""
    files = [network_file(name) for name in NETWORK_FILES] + [template_file(name) for name in TEMPLATE_FILES]
    return hashlib.sha256("".join(file_digest(file) for file in files).encode()).hexdigest()
