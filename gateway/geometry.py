"""Where the slices lie in the patient: which side is left in a picture, and how large a pixel is."""

from __future__ import annotations

from typing import Literal

import numpy as np

from contracts.stack import Stack


def left_edge(stack: Stack) -> Literal["L", "R"]:
    """Patient side at the picture's left edge: L when columns run towards +x, which is right in RAS+."""
    return "L" if stack.grid_to_world[0, 0] > 0 else "R"


def spacing_mm(stack: Stack) -> float:
    """Edge of one pixel in the input's world; the registration's zoom is part of it."""
    return float(np.linalg.norm(stack.grid_to_world[:3, 0]))
