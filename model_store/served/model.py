"""The unpacked archive as one object: slices in, every array of the response out."""

from __future__ import annotations

import ctypes
import hashlib
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from .accelerated import has_vnni
from .pooling import Forward, Pooling
from .shapes import CARD, CHUNK, COVARIATES, HEIGHT, NETWORK, POOLING, SLICES, WIDTH, Floats
from .softening import softened

log = logging.getLogger(__name__)


class Model:
    """The unpacked archive: network, pooling, digest. `threads` chunks are computed at once, one a core."""

    def __init__(self, folder: Path, *, threads: int = 1) -> None:
        torch.set_num_threads(1)
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads, "chunk", initializer=torch.set_num_threads, initargs=(1,))
        self.engine = choose_engine()
        torch.backends.quantized.engine = self.engine
        manifest = json.loads((folder / "manifest.json").read_text())
        self.digest = _checked_digest(folder, manifest["files"])
        self.network = torch.jit.load(str(folder / NETWORK), map_location="cpu").eval()
        self.pooling = Pooling.load(folder / POOLING)
        self.card = (folder / CARD).read_text() if (folder / CARD).is_file() else ""
        self.fast: Any = None  # accelerated.Accelerated where there is a GPU

    def forward(self, stacks: npt.NDArray[np.uint8]) -> Forward:
        """(v, 32, 208, 176) uint8 -> per-slice outputs."""
        slices = torch.from_numpy(softened(stacks).reshape(-1, HEIGHT, WIDTH))
        found = self.fast(slices) if self.fast else self._on_cores(slices)
        outputs = [part.numpy() for part in found]
        logits, evidence, features = (part.reshape(-1, SLICES, *part.shape[1:]) for part in outputs)
        return Forward(logits=logits, evidence=evidence, features=features)

    def _on_cores(self, slices: torch.Tensor) -> list[torch.Tensor]:
        pieces = slices.split(min(CHUNK, -(-len(slices) // self.threads)))
        chunks = list(self._pool.map(self._look, pieces) if self.threads > 1 else map(self._look, pieces))
        return [torch.cat(part) for part in zip(*chunks, strict=True)]

    def _look(self, slices: torch.Tensor) -> tuple[torch.Tensor, ...]:
        with torch.inference_mode():
            return tuple(self.network(slices))

    def answer(
        self, stacks: npt.NDArray[np.uint8], covariates: Floats | None = None
    ) -> dict[str, npt.NDArray[Any]]:
        """All arrays of the response for (v, 32, 208, 176) uint8, and (v, 4) covariates if there are any."""
        seen, pooling = self.forward(stacks), self.pooling
        volume, logits = pooling.volume_features(seen.features), pooling.slice_logits(seen)
        probabilities = pooling.probabilities(logits)
        known = np.full((len(stacks), COVARIATES), np.nan) if covariates is None else covariates
        return {
            "probabilities": probabilities,
            "interval": pooling.interval(volume, probabilities),
            "slice_logits": logits,
            "maps": pooling.maps(seen).astype(np.float16),
            "ood": pooling.out_of_distribution(volume),
            "prediction_set": pooling.prediction_set(probabilities),
            "clinical": pooling.clinical(volume, known),
        }


def _checked_digest(folder: Path, files: dict[str, str]) -> str:
    """SHA-256 over the manifest's sorted `name digest` lines; deciding files are hashed again."""
    for name in (NETWORK, POOLING):
        with (folder / name).open("rb") as opened:
            if hashlib.file_digest(opened, "sha256").hexdigest() != files[name]:
                raise RuntimeError(f"{name} is not the file that the manifest names")
    lines = "".join(f"{name} {digest}\n" for name, digest in sorted(files.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def choose_engine() -> str:
    """The int8 engine; without VNNI the handler computes in float32 instead, and the log says so."""
    if has_vnni() and "x86" in torch.backends.quantized.supported_engines:
        return "x86"
    log.warning("no VNNI on this CPU: the network runs in float32, at about a seventh of the speed")
    return "onednn"


def keep_memory() -> None:
    """Have glibc keep freed blocks for the next request; else the kernel clears all their pages anew."""
    if hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
        libc.mallopt(-1, 1 << 30)  # M_TRIM_THRESHOLD
        libc.mallopt(-8, 1)  # M_ARENA_MAX: further arenas are too small to keep such blocks
