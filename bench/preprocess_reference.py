"""deepbet as shipped, whose brain ours is compared with: computed once a volume, kept in the cache folder."""

from __future__ import annotations

import hashlib
import warnings
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt

from preprocessing_service.assets import cache_folder
from preprocessing_service.volume import Volume

Mask = npt.NDArray[np.bool_]


@cache
def _shipped() -> Any:
    from deepbet.bet import BrainExtraction

    return BrainExtraction(no_gpu=True)


def shipped_mask(volume: Volume) -> Mask:
    """The brain by deepbet as shipped, on the conformed volume's own voxels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        voxels = np.ascontiguousarray(volume.voxels, dtype=np.float32)
        return np.asarray(_shipped().postprocess(_shipped().run_model(voxels) > 0.5) > 0)


def known_mask(volume: Volume) -> Mask:
    """The same, read back when these voxels were seen before: it takes seconds and never changes."""
    voxels = np.ascontiguousarray(volume.voxels, dtype=np.float32)
    seen = hashlib.sha256(f"{version('deepbet')} {voxels.shape}".encode() + voxels.tobytes())
    file = cache_folder() / "bench" / "deepbet" / f"{seen.hexdigest()[:32]}.npy"
    if file.exists():
        bits = np.load(file)
    else:
        bits = np.packbits(shipped_mask(volume))
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, bits)
    return np.unpackbits(bits, count=voxels.size).astype(bool).reshape(voxels.shape)
