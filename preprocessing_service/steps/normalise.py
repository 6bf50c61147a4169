"""Step 7: bring the tissue intensities to where they lie in the training slices, as eight-bit values."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from preprocessing_service.compiled import compiled
from preprocessing_service.steps.bias import Tissues

TRAINING_LEVELS = (48.0, 122.0, 202.0)
"""CSF, grey and white matter in the training slices (derive_intensity.py: mean of 166 subjects' mixtures)."""

DARKEST = 1
"""Inside the brain; zero is kept for outside."""


def normalise(slices: npt.NDArray[np.float32], tissues: Tissues, unit: float) -> npt.NDArray[np.uint8]:
    """Map (32, 208, 176) intensities to uint8: straight lines through 0, CSF, grey and white matter.

    unit: the intensity that the tissues' logarithms are relative to (the brain's median). The last line goes
    on above white matter until 255. Scanners differ in the ratio of grey to white (0.60 in the training data,
    0.8 in many others), so one gain would not do.
    """
    levels = np.exp(tissues.means) * unit
    levels = np.maximum.accumulate(levels + np.array([0, 1e-6, 2e-6]) * unit)
    top = levels[2] + (levels[2] - levels[1]) * 2
    goal = TRAINING_LEVELS[2] + (TRAINING_LEVELS[2] - TRAINING_LEVELS[1]) * 2
    knots = np.array([[0, *levels, top], [0, *TRAINING_LEVELS, goal]], np.float32)
    return np.asarray(_mapped(slices.reshape(-1), knots).reshape(slices.shape))


@compiled
def _mapped(values: npt.NDArray[np.float32], knots: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Straight lines through the knots, (2, n): rounded, at least DARKEST where there is anything at all."""
    out = np.zeros(values.size, np.uint8)
    gains = (knots[1, 1:] - knots[1, :-1]) / (knots[0, 1:] - knots[0, :-1])
    for n in range(values.size):
        value = min(values[n], knots[0, -1])
        if value > 0:
            part = 0
            while value > knots[0, part + 1]:
                part += 1
            mapped = knots[1, part] + (value - knots[0, part]) * gains[part]
            out[n] = min(max(np.rint(mapped), DARKEST), 255)
    return out
