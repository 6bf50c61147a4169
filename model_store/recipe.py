"""What may be chosen in fitting the head, and what was."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product


@dataclass(frozen=True)
class Recipe:
    """strength: of the ridge, in units of the mean squared length of a centred feature row.

    contrast: variance of the local contrast's features to that of the network's. caution: how dear it is for
    severity to move with a look, in units of the ridge.
    """

    strength: float = 1.0
    contrast: float = 2.0
    caution: float = 300.0


SHIPPED = Recipe()
CHOICES = [Recipe(*values) for values in product((0.1, 0.3, 1.0), (0.5, 1.0, 2.0), (10.0, 100.0, 300.0))]
"""What nested selection chooses among; `SHIPPED` is one of them."""
