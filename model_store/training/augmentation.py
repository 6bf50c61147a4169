"""Changes of a head's pose and look that leave its stage as it is, a batch at a time."""

from __future__ import annotations

import math

import torch
from torch import Tensor

ROTATION, SCALE, SHIFT, SHEAR = math.radians(10), 0.06, 0.04, 0.04
"""Largest rotation (radians), change of size, shift (share of the picture) and shear."""
BRIGHTNESS, CONTRAST, GAMMA, BIAS, NOISE = 0.12, 0.15, 0.2, 0.15, 6.0
"""Largest relative changes, and the largest standard deviation of the noise in grey levels."""


def augment(heads: Tensor, chooser: torch.Generator) -> Tensor:
    """(subjects, slices, height, width) float 0-255 -> the same; one change a subject, alike on its slices.

    chooser: a CPU generator, so that a resumed run goes on with the same changes on any device.
    """
    count = len(heads)

    def uniform(*shape: int, most: float = 1.0) -> Tensor:
        return ((torch.rand(count, *shape, generator=chooser) * 2 - 1) * most).to(heads.device)

    moved = _warp(heads, uniform(2, 3), uniform())
    return _look(moved, uniform(8), torch.randint(2**31, (), generator=chooser))


def _warp(heads: Tensor, free: Tensor, mirrored: Tensor) -> Tensor:
    """Flip, rotation, size, shear and shift in one interpolation. free: (n, 2, 3) in -1..1."""
    angle, size = free[:, 0, 0] * ROTATION, 1 + free[:, 0, 1] * SCALE
    shear, shift = free[:, 1, 0] * SHEAR, free[:, :, 2] * SHIFT
    flip = torch.where(mirrored > 0, 1.0, -1.0)
    height, width = heads.shape[-2:]
    ratio = height / width  # affine_grid counts in half pictures, which are not square
    sine, cosine = torch.sin(angle), torch.cos(angle)
    first = torch.stack([cosine * size * flip, (shear - sine) * size * ratio, shift[:, 0]], dim=1)
    second = torch.stack([sine * size * flip / ratio, cosine * size, shift[:, 1]], dim=1)
    grid = torch.nn.functional.affine_grid(
        torch.stack([first, second], dim=1), list(heads.shape), align_corners=False
    )
    return torch.nn.functional.grid_sample(heads, grid, align_corners=False)


def _look(heads: Tensor, free: Tensor, seed: Tensor) -> Tensor:
    """Contrast, brightness, gamma, a smooth bias field and noise, inside the brain only. free: (n, 8)."""
    brain = heads > 0
    height, width = heads.shape[-2:]
    y = torch.linspace(-1, 1, height, device=heads.device)[:, None]
    x = torch.linspace(-1, 1, width, device=heads.device)[None]
    term = free[:, 3:7, None, None]
    field = 1 + BIAS * (
        term[:, 0] * x + term[:, 1] * y + term[:, 2] * x * y + term[:, 3] * (x * x + y * y) / 2
    )
    gain, lift, gamma = (
        1 + free[:, k, None, None, None] * m for k, m in enumerate((CONTRAST, BRIGHTNESS, GAMMA))
    )
    looked = (heads / 255).clamp(min=1e-4) ** gamma * 255
    looked = ((looked - 128) * gain + 128) * lift * field[:, None]
    rolled = torch.Generator(device=heads.device).manual_seed(int(seed))
    noise = torch.randn(heads.shape, generator=rolled, device=heads.device, dtype=heads.dtype)
    looked = looked + noise * (free[:, 7, None, None, None].abs() * NOISE)
    return torch.where(brain, looked.clamp(0, 255), torch.zeros_like(heads))
