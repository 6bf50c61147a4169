"""What may be chosen in fitting the head, and what was."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

QUARTERS_MENU = ((0, 1, 2, 3), (0,), (1,), (2,), (3,), (0, 1), (1, 2), (2, 3))
"""Quarters of the slab that may count: all, each alone, each two neighbours. The same for all quarters."""


@dataclass(frozen=True)
class Recipe:
    """strength: of the ridge, in units of the mean squared length of a centred feature row.

    contrast: variance of the local contrast's features to that of the network's. caution: how dear it is for
    severity to move with a look, in units of the ridge. quarters: of the slab, lowest first, in which the
    contrast counts.
    """

    strength: float = 1.0
    contrast: float = 2.0
    caution: float = 300.0
    quarters: tuple[int, ...] = (1,)


SHIPPED = Recipe()
CHOICES = [Recipe(*values) for values in product((0.3, 1.0), (0.5, 2.0), (100.0, 300.0), QUARTERS_MENU)]
"""What nested selection chooses among; `SHIPPED` is one of them."""
