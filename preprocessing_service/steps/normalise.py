"""Step 7: bring the tissue intensities to where they lie in the training slices, as eight-bit values."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

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
    out = np.zeros(slices.shape, np.uint8)
    inside = slices > 0
    mapped = np.interp(slices[inside], [0, *levels, top], [0, *TRAINING_LEVELS, goal])
    out[inside] = np.clip(np.rint(mapped), DARKEST, 255)
    return out
