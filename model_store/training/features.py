"""Features of every slice of whole cohorts, cached because a pass over 5,312 slices takes minutes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from rich.progress import track

from model_store.served.shapes import CHUNK, SLICES
from model_store.served.softening import softened
from model_store.training.cohort import Cohort


class Network(Protocol):
    """A float or frozen int8 slice network: (n, h, w) uint8 -> logits, evidence, features."""

    def __call__(self, slices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]: ...


def stack_features(network: Network, stack: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """(n, 208, 176) uint8, already `softened` -> (n, 4336)."""
    with torch.inference_mode():
        parts = [network(chunk)[2] for chunk in torch.from_numpy(stack).split(CHUNK)]
    return np.asarray(torch.cat(parts).numpy())


def cohort_features(network: Network, cohort: Cohort, *, key: str) -> npt.NDArray[np.float32]:
    """(subjects, 32, 4336), read from $HIPPOCAMP_CACHE if there. key: what made the network."""
    cached = _cache_path(cohort, key)
    if cached and cached.is_file():
        return np.asarray(np.load(cached), dtype=np.float32)
    stacks: Iterable[npt.NDArray[np.uint8]] = track(cohort.stacks(), key, total=len(cohort.subjects))
    features = np.stack([stack_features(network, softened(stack[None])[0]) for stack in stacks])
    assert features.shape[:2] == (len(cohort.subjects), SLICES)  # noqa: S101
    if cached:
        cached.parent.mkdir(parents=True, exist_ok=True)
        np.save(cached, features)
    return features


def _cache_path(cohort: Cohort, key: str) -> Path | None:
    root = os.environ.get("HIPPOCAMP_CACHE")
    if not root:
        return None
    content = "\n".join([key, str(cohort.folder.resolve()), *cohort.subjects])
    name = hashlib.sha256(content.encode()).hexdigest()
    return Path(root) / f"features-{name[:16]}.npy"
