"""The network's widest layers, some planes at a time: what lies between two of them is never whole in memory.

At 192 cells the first convolution alone would fill 57 MB, of which pooling keeps an eighth; a slab of it
stays in the processor's cache until it has been pooled.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import conv3d, pad

from preprocessing_service.brain_extraction.activations import Moments

LAST = torch.channels_last_3d
CELLS = 1 << 18
"""Values of one slab, about: a megabyte, which the second cache holds."""


def convolution(x: Tensor, weight: Tensor, edges: tuple[int, int, int], stride: int = 1) -> Tensor:
    """A convolution without bias by oneDNN where there is one; edges: zeros around each axis."""
    if not torch.backends.mkldnn.is_available():
        return conv3d(x, weight, None, stride, edges)
    return torch.mkldnn_convolution(x, weight, None, list(edges), [stride] * 3, [1] * 3, 1)


def entered(cells: Tensor, weight: Tensor) -> Tensor:
    """The first layer: 7 x 7 x 7, stride 2, norm, rectifier, and the maximum over 3 x 3 x 3, stride 2.

    cells: (n, n, n). Returns (1, channels, n / 4, n / 4, n / 4), channels last. Norm and rectifier never turn
    the order of a channel's values round, so the maximum may be taken first.
    """
    n, channels, edge = len(cells), weight.shape[0], weight.shape[2] // 2
    sums = [Moments(1) for _ in range(channels)]
    step = _planes(channels * (n // 2) ** 2)
    pooled, before = torch.empty(channels, n // 4, n // 4, n // 4), None
    for at in range(0, n // 2, step):
        stop = min(at + step, n // 2)
        wide = _between(cells[None, None], 2 * at - edge, 2 * stop - 1 + edge)
        y = convolution(wide, weight, (0, edge, edge), 2)[0].contiguous()
        for one, plane in zip(sums, y, strict=True):
            one.add(plane.numpy().reshape(-1))
        flat = _largest_of_three(_largest_of_three(y, 2), 3)
        even, odd = flat[:, ::2], flat[:, 1::2]
        here = torch.maximum(even, odd, out=pooled[:, at // 2 : stop // 2])
        rest = here if before is not None else here[:, 1:]
        earlier = odd[:, :-1] if before is None else torch.cat([before, odd[:, :-1]], 1)
        torch.maximum(rest, earlier, out=rest)
        before = odd[:, -1:]
    for one, plane in zip(sums, pooled, strict=True):
        one.norm(plane.numpy().reshape(-1), rectified=True)
    return pooled[None].contiguous(memory_format=LAST)


def _largest_of_three(y: Tensor, axis: int) -> Tensor:
    """Maximum over three neighbours along one axis, stride 2: torch's pooling takes four times as long."""
    even, odd = y.unfold(axis, 2, 2).unbind(-1)
    most = torch.maximum(even, odd)
    rest = most.narrow(axis, 1, most.shape[axis] - 1)
    torch.maximum(rest, odd.narrow(axis, 0, odd.shape[axis] - 1), out=rest)
    return most


def doubled(x: Tensor, weight: Tensor, memory: Tensor | None = None) -> Tensor:
    """A transposed convolution of stride 2, norm and rectifier; weight as `network._shuffled` makes it.

    x: (1, inputs, a, b, c). Returns (1, channels, 2a, 2b, 2c), channels last, in `memory` (flat) when given.
    """
    channels = weight.shape[0] // 8
    _, _, a, b, c = x.shape
    flat = torch.empty(8 * a * b * c * channels) if memory is None else memory
    apart = flat.view(a, 2, b, 2, c, 2, channels)
    x, step, sums = pad(x, (0, 1, 0, 1, 0, 1)), _planes(8 * channels * b * c), Moments(channels)
    for at in range(0, a, step):
        y = convolution(x[:, :, at : at + step + 1], weight, (0, 0, 0))
        y = y.permute(0, 2, 3, 4, 1)[0].reshape(-1, b, c, 2, 2, 2, channels)
        apart[at : at + step] = y.permute(0, 3, 1, 4, 2, 5, 6)
        sums.add(y.numpy().reshape(-1))
    sums.norm(flat.numpy(), rectified=True)
    return flat.view(1, 2 * a, 2 * b, 2 * c, channels).permute(0, 4, 1, 2, 3)


def in_place(x: Tensor, weight: Tensor) -> Tensor:
    """A 3 x 3 x 3 convolution that keeps the number of channels, written over its input, (1, n, a, b, c)."""
    a, step = x.shape[2], _planes(x.shape[1] * x.shape[3] * x.shape[4])
    written, late = 0, None
    for at in range(0, a, step):
        y = convolution(_between(x, at - 1, min(at + step, a) + 1), weight, (0, 1, 1))
        if late is not None:  # a slab's last plane is seen by the next one too: written when that is done
            x[:, :, written : written + step] = late
            written += step
        late = y
    if late is not None:
        x[:, :, written:] = late
    return x


def _between(x: Tensor, first: int, stop: int) -> Tensor:
    """Planes `first` to `stop` of (1, channels, a, b, c), zeros where there are none."""
    a = x.shape[2]
    seen = x[:, :, max(first, 0) : min(stop, a)]
    if first >= 0 and stop <= a:
        return seen
    return pad(seen, (0, 0, 0, 0, max(-first, 0), max(stop - a, 0)))


def _planes(values: int) -> int:
    """How many planes of so many values make one slab: an even number, for the pooling's sake."""
    return max(2, CELLS // values // 2 * 2)
