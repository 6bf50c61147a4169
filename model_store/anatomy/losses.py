"""What training minimises: cross-entropy and Dice of class shares, and the error of volumes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

EARLY_WEIGHTS = (1.0, 2.0, 3.0, 1.0, 1.5)
"""Of the classes' cross-entropy at the beginning; all 1 from EARLY on, because weights bias volumes."""

EARLY = 0.5
"""Share of the training during which they fade."""

SMALL = 50.0
"""mm3 added to volumes: a structure hardly in the box says little."""

VOLUME_WEIGHT, AGREEMENT_WEIGHT = 0.2, 0.4


@dataclass(frozen=True)
class Loss:
    """total: to be minimised. dice, volume: (5,) mean Dice and mean absolute log error of the volumes."""

    total: Tensor
    dice: Tensor
    volume: Tensor


def loss_of(logits: Tensor, shares: Tensor, done: float) -> Loss:
    """logits, shares: (n, 5, x, y, z). done: share of the training that is over.

    Dice with squares in the denominator is largest exactly where probabilities equal shares, so that sums of
    probability are volumes (Milletari et al. 2016, arXiv:1606.04797). Two pictures of one anatomy, at times
    changed between them, must have the same error of their volumes: what two scans of a person differ by is
    then change, and it is not drawn towards the usual size.
    """
    log_p = torch.log_softmax(logits.float(), 1)
    early = max(0.0, 1 - done / EARLY)
    weight = 1 + early * (torch.tensor(EARLY_WEIGHTS) - 1)
    entropy = -(shares * log_p).mean((0, 2, 3, 4)) @ weight
    p, space = log_p.exp(), (2, 3, 4)
    both, squares = (p * shares).sum((0, *space)), (p.square() + shares.square()).sum((0, *space))
    dice = (2 * both + 10) / (squares + 10)
    error = torch.log((p.sum(space) + SMALL) / (shares.sum(space) + SMALL))
    volume = functional.smooth_l1_loss(error, torch.zeros_like(error), beta=0.05, reduction="none").mean(0)
    apart = (error - error.mean(0, keepdim=True)).abs().mean(0)
    total = entropy + 1 - dice[1:].mean()
    total = total + VOLUME_WEIGHT * volume[1:].sum() + AGREEMENT_WEIGHT * apart[1:].sum()
    return Loss(total, dice.detach(), error.abs().mean(0).detach())
