"""The anatomy network while it is trained: a small 3-D U-Net with batch norms.

After Ronneberger et al. 2015 (arXiv:1505.04597) and Çiçek et al. 2016 (arXiv:1606.06650), with the place of
every coarse cell as three more channels at the bottom. The shipped file holds it with the norms folded into
the convolutions (export.py); preprocessing_service.anatomy.network runs that.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from imaging.hemisphere import CLASSES

WIDTHS = (16, 32, 64, 96)
"""Channels from 1 mm to 8 mm: multiples of 16, the width of the processor's kernels."""

Corner = tuple[int, int, int]


def from_grey(grey: Tensor) -> Tensor:
    """Grey levels (CSF 48, grey 122, white 202; 0 outside) -> about -1 to 1."""
    return grey.float() / 100 - 1.2


class Block(nn.Sequential):
    """3 x 3 x 3 convolution, norm, rectifier."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv3d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm3d(outputs, momentum=0.05),
            nn.ReLU(inplace=True),
        )


class AnatomyNet(nn.Module):
    """(n, 1, x, y, z) from `from_grey`, edges multiples of 8 -> (n, 5, x, y, z) logits."""

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        self.widths = tuple(widths)
        levels, below = widths[:-1], widths[1:]
        inputs = (1, *widths[:-2])
        self.down = nn.ModuleList(
            nn.Sequential(Block(i, o), Block(o, o)) for i, o in zip(inputs, levels, strict=True)
        )
        self.bottom = nn.Sequential(Block(widths[-2] + 3, widths[-1]), Block(widths[-1], widths[-1]))
        self.narrow = nn.ModuleList(nn.Conv3d(i, o, 1) for i, o in zip(below, levels, strict=True))
        self.up = nn.ModuleList(Block(2 * o, o) for o in levels)
        self.last = nn.Conv3d(widths[0], len(CLASSES), 1)

    def forward(self, x: Tensor, corner: Corner = (0, 0, 0)) -> Tensor:
        """corner: the voxel of the box at which x begins."""
        skips = []
        for step in self.down:
            x = step(x)
            skips.append(x)
            x = functional.max_pool3d(x, 2)
        place = places(x.shape[2:], corner, 2 ** len(skips)).to(x)
        x = self.bottom(torch.cat([x, place.expand(len(x), -1, -1, -1, -1)], 1))
        for level in reversed(range(len(skips))):
            x = functional.interpolate(self.narrow[level](x), scale_factor=2, mode="nearest")
            x = self.up[level](torch.cat([x, skips[level]], 1))
        out: Tensor = self.last(x)
        return out


def places(shape: torch.Size, corner: Corner, scale: int) -> Tensor:
    """(1, 3, *shape): where each cell of `scale` voxels lies in the box, about -1 to 1."""
    axes = [(torch.arange(n) * scale + at) / 64.0 - 1 for n, at in zip(shape, corner, strict=True)]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))[None]
