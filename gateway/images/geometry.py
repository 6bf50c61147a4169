"""Where the slices lie in the patient: which side is left in a picture, and how large a pixel is."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from contracts.stack import Stack
from imaging.grid import BRAIN, GRID_TO_MNI


def left_edge(stack: Stack) -> Literal["L", "R"]:
    """Patient side at the picture's left edge: L when columns run towards +x, which is right in RAS+."""
    return "L" if stack.grid_to_world[0, 0] > 0 else "R"


def spacing_mm(stack: Stack) -> float:
    """Edge of one pixel in the input's world; the registration's zoom is part of it."""
    return float(np.linalg.norm(stack.grid_to_world[:3, 0]))


def on_brain_grid(stack: Stack) -> Stack:
    """The stack as if the brain's grid (imaging.grid.BRAIN) were the volume that was sent."""
    to_world = stack.grid_to_world @ np.linalg.inv(GRID_TO_MNI) @ BRAIN.to_mni
    slices, rows, columns = BRAIN.shape
    return replace(stack, input_shape=(columns, rows, slices), input_affine=to_world)
