"""Where the model looked: class activation maps of one stack, and how they lie in a blob."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Explanation:
    """Class activation maps of one stack.

    maps: (slices, classes, height, width) float16, ReLU(sum_k w_ck A_k) of the last block (Zhou et al. 2016);
        each map covers the whole slice, so it is stretched to (208, 176) for drawing.
    slice_logits: (slices, classes) float32.
    """

    maps: npt.NDArray[np.float16]
    slice_logits: npt.NDArray[np.float32]

    def to_bytes(self) -> bytes:
        """An uncompressed .npz without pickles."""
        out = io.BytesIO()
        np.savez(out, maps=self.maps, slice_logits=self.slice_logits)
        return out.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Explanation:
        """Read what `to_bytes` wrote; ValueError on anything else."""
        with np.load(io.BytesIO(data), allow_pickle=False) as parts:
            return cls(maps=parts["maps"], slice_logits=parts["slice_logits"])
