"""Step 5: tissue intensities and the coil's smooth field, by a three-class mixture with template priors.

The mixture of Ashburner and Friston 2005 (NeuroImage 26:839) in its plainest form: on log intensities at the
template's 5 mm points, tissue means and spreads alternate with a cubic field; priors stay where registration
put them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from contracts.errors import NotAHead
from preprocessing_service.coarse import CoarseHead
from preprocessing_service.sampling import sample
from preprocessing_service.steps.register import Alignment
from preprocessing_service.template import Priors

Floats = npt.NDArray[np.float32]
Values = npt.NDArray[np.float64]
ROUNDS = 12
FLOOR = 0.15
"""Of the brain's median; darker points are air or fluid and say nothing about the field."""

FIRST_MEANS = (-0.7, -0.1, 0.15)
FIRST_SPREADS = (0.35, 0.15, 0.12)
"""Log intensities of CSF, grey and white matter about the brain's median, where the mixture begins."""

LEAST_SPREAD = 0.04
OUTLIER = 0.02
STIFFNESS = 2e-4
"""Share of the total weight that holds each field term to zero: without it, empty corners would swing."""


@dataclass(frozen=True)
class Tissues:
    """means, spreads: (3,) log intensities of CSF, grey and white matter, brain median being 0.

    shares: (3,) of the sampled points. field: (20,) coefficients of the log field in `polynomial.basis`.
    """

    means: Values
    spreads: Values
    shares: Values
    field: Floats


def estimate(head: CoarseHead, alignment: Alignment, priors: Priors) -> Tissues:
    """Fit tissues and field to a registered brain; NotAHead when hardly any point has signal."""
    seen = sample(head.brain.voxels, np.linalg.inv(head.brain.affine) @ alignment.matrix, priors.points)
    lit = seen > FLOOR
    if np.count_nonzero(lit) < len(seen) // 10:
        raise NotAHead(f"only {np.count_nonzero(lit)} of {len(seen)} template points lie in the brain")
    return mixture(np.log(seen[lit]), priors.shares[lit], priors.basis[lit])


def mixture(logs: Floats, shares: Floats, basis: Floats) -> Tissues:
    """The mixture itself. logs: (n,), shares: (n, 3) priors, basis: (n, terms); pure mathematics."""
    means = float(np.median(logs)) + np.array(FIRST_MEANS)
    spreads = np.array(FIRST_SPREADS)
    field = np.zeros(basis.shape[1], np.float32)
    for _ in range(ROUNDS):
        flat = logs - basis @ field
        member = _membership(flat, shares, (means, spreads))
        counts = member.sum(0) + 1e-9
        means = flat @ member / counts
        spreads = np.sqrt(np.maximum(flat**2 @ member / counts - means**2, LEAST_SPREAD**2))
        field = _field(logs, basis, member[:, 1:] / spreads[1:] ** 2, means[1:])
    return Tissues(means, spreads, counts / counts.sum(), field)


def _membership(flat: Floats, shares: Floats, tissues: tuple[Values, Values]) -> Floats:
    means, spreads = (values.astype(np.float32) for values in tissues)
    likely = np.exp(np.float32(-0.5) * ((flat[:, None] - means) / spreads) ** 2) / spreads * shares
    return np.asarray(likely / (likely.sum(1, keepdims=True) + np.float32(OUTLIER)))


def _field(logs: Floats, basis: Floats, precision: Floats, means: Values) -> Floats:
    # Weighted least squares of what grey and white points lack to their tissue's mean.
    precision = precision.astype(np.float32)
    weight = precision.sum(1)
    wanted = weight * logs - precision @ means.astype(np.float32)
    normal = (basis * weight[:, None]).T @ basis
    normal[np.diag_indices_from(normal)] += STIFFNESS * weight.sum()
    field = np.linalg.solve(normal.astype(np.float64), basis.T @ wanted).astype(np.float32)
    field[0] = 0  # the constant is the tissues' to explain
    return field
