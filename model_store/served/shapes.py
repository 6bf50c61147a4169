"""Sizes and names that all of the archive agrees on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SLICES, HEIGHT, WIDTH = 32, 208, 176
DEEP, CELL, QUARTERS = 2048, 4, 4
CELLS = HEIGHT // CELL * (WIDTH // CELL)
PLACE, STRIDE = 16, 64
"""Pixels of a map's place, and from one of the network's places to the next."""
SOFT = 1.4
"""Pixels of the Gaussian through which the network sees a head, along all three axes."""
LEAST_WEIGHT = 1e-9
"""Smaller weights of a Gaussian are 0: a sum in float32 cannot hold them, and below 1e-38 each costs a CPU
as much as dozens of others."""
COVARIATES = 4
"""MMSE, age, sex (1 men), education."""

NETWORK, POOLING, CARD = "resnet50_int8.pt", "head.npz", "card.json"
CHUNK = 16
"""Slices a forward pass: larger batches leave the cache and gain nothing on one core."""

Floats = npt.NDArray[np.float32]
